#!/bin/sh
# Runs all tests, and says at the end which were skipped and what installs
# what they need. With BT_TEST_STRICT=1 a test that lacks a tool fails instead; a
# kernel that lacks something never fails one: see testenv.No32Bit.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -v "$@" ./... >"$log" 2>&1
status=$?
grep -aE '^(ok|FAIL|---? FAIL|panic:)|^ *--- FAIL' "$log" || true
if [ $status -ne 0 ]; then
	echo
	echo "The failed tests, each below its output:"
	awk -f "$(dirname "$0")/failed.awk" "$log" | head -n 600
fi

reasons=$(awk -f "$(dirname "$0")/skips.awk" "$log" | cut -f 2)

# skips TITLE PATTERN prints the reasons with a PATTERN, how often each, the most
# frequent first.
skips() {
	found=$(printf '%s\n' "$reasons" | grep -aE "$2" | sort | uniq -c | sort -rn)
	[ -z "$found" ] || printf '\n%s\n%s\n' "$1" "$found"
}
tool='apt-get install|needs root'
kernel='^this kernel '
skips "Skipped for what this kernel cannot do ('make e2e' boots one that can):" "$kernel"
skips "Skipped for what is missing:" "$tool"
packages=$(printf '%s\n' "$reasons" | grep -aoE 'apt-get install [a-z0-9+. -]+' | sed 's/apt-get install //' | tr ' ' '\n' | grep . | sort -u | tr '\n' ' ')
[ -z "$packages" ] || echo "This installs it: apt-get install $packages"
others=$(printf '%s\n' "$reasons" | grep -avE "$tool|$kernel")
[ -z "$others" ] || { reasons=$others; skips "Skipped because it does not apply here:" .; }

count() { grep -acE "^ *--- $1" "$log"; }
echo
echo "$(count PASS) passed, $(count FAIL) failed, $(count SKIP) skipped"
exit $status
