#!/bin/sh
# bt's main job, for all to see: the stack of a process that is in a signal
# handler, across the handler and the gate DSO, first with the gate unset, then
# with its image registered.
#
#   demo.sh BT         compiles its programs; BT is the program bt
#   demo.sh BT DIR     takes them from DIR: 64-bit, 32-bit (either may be missing),
#                      and kernel32, which says whether the kernel runs the latter
set -eu
bt=${1:-bin/bt}
built=${2-}
root=$(dirname "$0")/..
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT

show() {
	echo
	printf '$ bt'; for arg; do case $arg in "") printf " ''" ;; *) printf " %s" "$arg" ;; esac; done; echo
	"$bt" "$@"
}

demo() { # demo NAME PROGRAM
	name=$1
	prog=$2
	mkfifo "$dir/$name.ready"
	"$prog" >"$dir/$name.ready" &
	pid=$!
	read -r _ <"$dir/$name.ready"
	echo
	echo "=== a $name process, interrupted in the gate DSO by a signal"
	show --gate-dso '' --pid "$pid"
	echo
	echo "=== the same with the gate DSO's image dumped and registered"
	"$prog" "$dir/gate-$name.so"
	show --gate-dso "$dir/gate-$name.so" --pid "$pid"
	kill "$pid"
	wait "$pid" 2>/dev/null || true
	pid=
}

compile() { # compile NAME CFLAGS...
	name=$1
	shift
	"${CC:-gcc}" -g0 -O1 -fno-inline "$@" -o "$dir/$name" "$root/testdata/demo/demo.c" 2>"$dir/err" || {
		echo
		echo "(no $name program, gcc cannot build it: $(grep -m 1 error "$dir/err"))"
		[ "$name" = 64-bit ] || echo "(this installs what it needs: apt-get install gcc-multilib)"
		return 1
	}
}

if [ -n "$built" ]; then
	[ ! -e "$built/64-bit" ] || demo 64-bit "$built/64-bit"
	[ -e "$built/32-bit" ] || exit 0
	if reason=$("$built/kernel32"); then
		demo 32-bit "$built/32-bit"
	else
		printf '\n(%s)\n' "$reason"
	fi
	exit
fi
if compile 64-bit; then demo 64-bit "$dir/64-bit"; fi
go build -C "$root" -o "$dir/kernel32" ./internal/testenv/kernel32
if reason=$("$dir/kernel32"); then
	if compile 32-bit -m32; then demo 32-bit "$dir/32-bit"; fi
else
	echo
	if ! command -v qemu-system-x86_64 >/dev/null; then
		echo "($reason; where qemu-system-x86 is installed, the demo boots one that does)"
	elif "$root/scripts/e2e.sh" demo32 >"$dir/booted" 2>&1; then
		echo "($reason: what follows comes from one that does, booted in qemu)"
		cat "$dir/booted"
	else
		echo "($reason, and none that does could be booted: $(tail -n 1 "$dir/booted"))"
	fi
fi
