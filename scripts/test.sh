#!/bin/sh
# Runs all tests, and says at the end which were skipped and what installs
# what they need. With BT_TEST_STRICT=1 a test that lacks a tool fails instead.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -v "$@" ./... >"$log" 2>&1
status=$?
grep -aE '^(ok|FAIL|---? FAIL|panic:)|^ *--- FAIL' "$log" || true
if [ $status -ne 0 ]; then
	echo
	echo "The failed tests, each below its output:"
	grep -avE '^ *(=== |--- PASS|--- SKIP)|^(PASS|ok|\?)' "$log" | grep -a -B60 -A2 -E '^ *--- FAIL|^panic:|^FAIL' | head -n 600
fi
passed=$(grep -acE '^ *--- PASS' "$log")
failed=$(grep -acE '^ *--- FAIL' "$log")
skipped=$(grep -acE '^ *--- SKIP' "$log")
if [ "$skipped" -gt 0 ]; then
	echo
	echo "Skipped, by reason (those without one do not apply):"
	grep -aoE '[^ ]+ is not installed: .*|needs root.*|[^:]*apt-get install .*' "$log" | sort | uniq -c || true
	packages=$(grep -aoE 'apt-get install [a-z0-9+. -]+' "$log" | sed 's/apt-get install //' | tr ' ' '\n' | grep . | sort -u | tr '\n' ' ')
	[ -z "$packages" ] || echo "This installs all of it: apt-get install $packages"
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
exit $status
