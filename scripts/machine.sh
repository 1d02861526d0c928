#!/bin/bash
# Runs commands, such as test binaries, on a kernel of their own: boots it in
# qemu, without a disk or network, and gives back what the commands print.
#
#   machine.sh CPU KERNEL TREE [PARAMETER]...
#
# CPU is amd64 or arm64, KERNEL the kernel's image (vmlinuz), TREE a directory that
# becomes the machine's root: all that the commands need, a static bin/busybox among
# it, and the file `commands`, a shell command a line. PARAMETERs go to the kernel.
#
# Of each command comes to standard output
#
#   === run COMMAND
#   (what it prints, standard error among it)
#   === exit STATUS
#
# Exit status: 0 when all commands ended with 0; 1 when one did not; 3 when the
# machine did not get to the end within MACHINE_TIMEOUT seconds (default 150) or
# died: then what it has printed comes out, too.
#
# Of arm64, MACHINE_CPU is qemu's name of the CPU (default cortex-a72).
#
# The machine has two CPUs and MACHINE_MEMORY megabytes (default 512) for its files
# and programs together. It is emulated (TCG), ten times slower than this one: give
# Go's tests a -test.timeout of their own, so that one that hangs names itself.
set -euo pipefail
cpu=$1 kernel=$2 tree=$3
shift 3

work=$(mktemp -d)
machine=
# No machine runs on when this script ends, in whatever way.
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

case $cpu in
amd64)
	# Emulated by qemu 7.2, cmpxchg16b corrupts registers now and then: kernels of
	# Linux 6.12 crash while they boot. Without it they do as older CPUs did.
	console=ttyS0 qemu="qemu-system-x86_64 -cpu max,-cx16"
	;;
arm64)
	# cortex-a72 has neither pointer authentication nor landing pads or memory tags,
	# max has all of them.
	model=${MACHINE_CPU:-cortex-a72} board=virt
	case $model in max*) board=virt,mte=on ;; esac
	console=ttyAMA0 qemu="qemu-system-aarch64 -M $board -cpu $model"
	;;
*)
	echo "machine: no CPU $cpu: amd64 or arm64" >&2
	exit 2
	;;
esac

install -m 0755 "$(dirname "$0")/machine.init" "$tree/init"
(cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/root"
status=0
timeout --foreground -k 5 "${MACHINE_TIMEOUT:-150}" $qemu -accel tcg -smp 2 -m "${MACHINE_MEMORY:-512}" \
	-nic none -nographic -no-reboot -kernel "$kernel" -initrd "$work/root" \
	-append "console=$console quiet panic=-1 nowatchdog $*" </dev/null >"$work/console" 2>&1 &
machine=$!
wait "$machine" || status=$?
machine=

tr -d '\r' <"$work/console" >"$work/lines"
if ! grep -q '^=== end$' "$work/lines"; then
	cat "$work/lines"
	echo "machine: it did not get to the end (status $status)" >&2
	exit 3
fi
# Less what the firmware and the kernel say.
sed -n '/^=== run /,$p' "$work/lines" | sed '/^=== end$/q'
! grep '^=== exit ' "$work/lines" | grep -qvx '=== exit 0'
