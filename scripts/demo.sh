#!/bin/sh
# bt's main job, for all to see: the stack of a process that is in a signal
# handler, across the handler and the gate DSO, first with the gate unset, then
# with its image registered.
set -eu
bt=${1:-bin/bt}
src=$(dirname "$0")/../testdata/demo/demo.c
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT

show() {
	echo
	printf '$ bt'; for arg; do case $arg in "") printf " ''" ;; *) printf " %s" "$arg" ;; esac; done; echo
	"$bt" "$@"
}

demo() { # demo NAME CFLAGS...
	name=$1
	shift
	if ! "${CC:-gcc}" -g0 -O1 -fno-inline "$@" -o "$dir/$name" "$src" 2>"$dir/err"; then
		echo
		echo "(no $name program: this compiler cannot build it: $(head -n 1 "$dir/err"))"
		return
	fi
	mkfifo "$dir/$name.ready"
	"$dir/$name" >"$dir/$name.ready" &
	pid=$!
	read -r _ <"$dir/$name.ready"
	echo
	echo "=== a $name process, interrupted in the gate DSO by a signal"
	show --gate-dso '' --pid "$pid"
	echo
	echo "=== the same with the gate DSO's image dumped and registered"
	"$dir/$name" "$dir/gate-$name.so"
	show --gate-dso "$dir/gate-$name.so" --pid "$pid"
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	pid=
}

demo 64-bit
demo 32-bit -m32
