#!/bin/bash
# bt on kernels of its own: boots Debian's in qemu, without a disk or network,
# and replays testdata/e2e/*.session, comparing what bt and the kernel answer.
#
#   e2e.sh [--update] [NAME]...
#
# NAME is amd64 (with the gate_dso module, 64- and 32-bit programs) or arm64
# (without it); default both. --update writes the sessions anew. What is
# downloaded stays in build/e2e, `make clean` removes it. Nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

update=
if [ "${1-}" = --update ]; then
	update=1
	shift
fi
[ $# -gt 0 ] || set -- amd64 arm64

# Seconds that a machine may run: ten times what it takes.
limit=${E2E_TIMEOUT:-150}
work=$PWD/build/e2e
mkdir -p "$work"

# No machine runs on when this script ends, in whatever way.
machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM HUP

die() {
	echo "e2e: $*" >&2
	exit 1
}

# What is missing, told at once, as one line to copy.
tools() {
	local tool package missing= probe
	while read -r tool package; do
		command -v "$tool" >/dev/null || missing="$missing $package"
	done <<-END
		qemu-system-x86_64 qemu-system-x86
		qemu-system-aarch64 qemu-system-arm
		cpio cpio
		gcc gcc
		make make
		gzip gzip
		xz xz-utils
	END
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		die "needs Debian's packages (apt-get, dpkg-deb): run it on Debian 12, or in a container of it"
	probe=$(mktemp)
	echo 'int main(void){return 0;}' | gcc -m32 -static -x c -o "$probe" - 2>/dev/null || missing="$missing gcc-multilib"
	rm -f "$probe"
	[ -z "$missing" ] || die "some tools are missing; this installs them: apt-get install --no-install-recommends$missing"
}

# apt NAME ARG... runs apt-NAME on package lists of its own, for both CPUs: the
# machine's are neither needed nor touched, and any user may do it.
apt() {
	local name=$1
	shift
	if [ ! -e "$work/apt/conf" ]; then
		mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial"
		cat >"$work/apt/conf" <<-END
			Dir::State "$work/apt/state";
			Dir::State::status "/dev/null";
			Dir::Cache "$work/apt/cache";
			Dir::Log "$work/apt";
			APT::Architecture "amd64";
			APT::Architectures { "amd64"; "arm64"; };
			APT::Sandbox::User "";
			Acquire::Languages "none";
			Acquire::Retries "3";
			#clear APT::Update;
		END
	fi
	"apt-$name" -c "$work/apt/conf" -qq "$@"
}

# depends PACKAGE PATTERN prints the names of what PACKAGE depends on.
depends() {
	apt cache depends "$1" | sed -n 's/^ *|\?Depends: //p' | grep -E "$2"
}

# fetch CPU unpacks the kernel, for amd64 its headers, and busybox into
# $work/CPU/root, once.
fetch() {
	local cpu=$1 dir=$work/$1 kernel headers packages
	[ ! -e "$dir/fetched" ] || return 0
	echo "e2e: downloading Debian's $cpu kernel"
	rm -rf "$dir"
	mkdir -p "$dir/debs" "$dir/root"
	apt get update || true
	kernel=$(depends "linux-image-cloud-$cpu:$cpu" '^linux-image-') ||
		die "no linux-image-cloud-$cpu to download: needs the package sources of Debian 12, and once a network"
	packages="$kernel busybox-static:$cpu"
	if [ "$cpu" = amd64 ]; then
		# The headers of the same build.
		headers=${kernel/image/headers}
		packages="$packages $headers $(depends "$headers" '^linux-(headers|kbuild)-')"
	fi
	(cd "$dir/debs" && apt get download $packages) || die "cannot download $packages"
	for deb in "$dir"/debs/*.deb; do
		dpkg-deb -x "$deb" "$dir/root"
	done
	rm -r "$dir/debs"
	# Debian's headers say where they are.
	for makefile in "$dir"/root/usr/src/linux-headers-*-cloud-*/Makefile; do
		[ ! -e "$makefile" ] || sed -i "s|^include /usr/src|include $dir/root/usr/src|" "$makefile"
	done
	touch "$dir/fetched"
}

# module builds gate_dso.ko; its compiler's warnings are errors.
module() {
	local dir=$work/amd64/module log=$work/amd64/module.log compiler
	compiler=$(sed -nE 's/^CC = .*(gcc-[0-9]+)$/\1/p' "$work"/amd64/root/usr/src/linux-headers-*-cloud-amd64/.kernelvariables)
	command -v "$compiler" >/dev/null || die "the kernel's compiler is missing: apt-get install --no-install-recommends $compiler"
	rm -rf "$dir"
	cp -r contrib/gate_dso "$dir"
	make -C "$dir" KDIR="$(echo "$work"/amd64/root/usr/src/linux-headers-*-cloud-amd64)" W=1 >"$log" 2>&1 &&
		! grep -i warning "$log" || {
		cat "$log" >&2
		die "contrib/gate_dso does not build without warnings"
	}
	cp "$dir/gate_dso.ko" "$work/amd64/files/"
}

# initramfs CPU makes the machine's file system.
initramfs() {
	local cpu=$1 dir=$work/$1 files=$work/$1/files
	rm -rf "$files"
	mkdir -p "$files/bin"
	cp "$dir/root/bin/busybox" "$files/bin/"
	CGO_ENABLED=0 GOOS=linux GOARCH=$cpu go build -o "$files/bin/bt" ./cmd/bt
	cp testdata/e2e/init "$files/init"
	cp "testdata/e2e/$cpu.programs" "$files/programs"
	sed -n 's/^\$ //p' "testdata/e2e/$cpu.session" >"$files/session"
	chmod 755 "$files/init"
	if [ "$cpu" = amd64 ]; then
		module
		for bits in 32 64; do
			gcc -m$bits -static -O1 -fno-inline -g0 -o "$files/bin/signals$bits" testdata/progs/signals.c
			gcc -m$bits -static -O1 -fno-inline -g0 -o "$files/bin/clock$bits" testdata/e2e/clock.c
		done
	fi
	(cd "$files" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$dir/initramfs"
}

# boot CPU runs the machine until it turns itself off; $work/CPU/console is
# what it printed.
boot() {
	local cpu=$1 dir=$work/$1 console status=0
	case $cpu in
	amd64)
		console=ttyS0
		set -- qemu-system-x86_64 -cpu max
		;;
	arm64)
		console=ttyAMA0
		set -- qemu-system-aarch64 -M virt -cpu cortex-a72
		;;
	esac
	timeout --foreground -k 5 "$limit" "$@" -accel tcg -m 512 -nic none -nographic -no-reboot \
		-kernel "$(echo "$dir"/root/boot/vmlinuz-*)" -initrd "$dir/initramfs" \
		-append "console=$console quiet panic=-1" </dev/null >"$dir/console" 2>&1 &
	machine=$!
	wait "$machine" || status=$?
	machine=
	return $status
}

# normalise takes out what differs from run to run, or from one build of the
# kernel to the next: addresses (their width stays), offsets that are not 0, sizes,
# numbers of processes, build IDs.
normalise() {
	sed -E '
		s/\b[0-9a-f]{40}\b/BUILDID/g
		s/\b[0-9a-f]{8,16}-[0-9a-f]{8,16} ([r-][w-][x-][ps])/xxxxxxxx-xxxxxxxx \1/
		s/\b[0-9a-f]+ (<[^+>]+>) [0-9]+/x \1 n/
		s/^(  (size|kernel) +).*/\1n/
		s/\b[0-9a-f]{16}\b/xxxxxxxxxxxxxxxx/g
		s/\b[0-9a-f]{8}\b/xxxxxxxx/g
		s/\+0x[1-9a-f][0-9a-f]*/+0x…/g
		s/(process|thread) [0-9]+/\1 N/g
	'
}

# check CPU boots the machine and compares.
check() {
	local cpu=$1 dir=$work/$1 status=0 started=$SECONDS
	boot "$cpu" || status=$?
	tr -d '\r' <"$dir/console" | sed '1,/^=== session$/d; /^=== end$/q' | normalise >"$dir/answers"
	if [ "$(tail -n 1 "$dir/answers")" != "=== end" ]; then
		echo "e2e: $cpu: the machine did not get to the end (status $status); the last that it said:" >&2
		tail -n 40 "$dir/console" >&2
		return 1
	fi
	# Less the empty line before the first command, and the end's mark.
	sed -i '1d;$d' "$dir/answers"
	if [ -n "$update" ]; then
		cp "$dir/answers" "testdata/e2e/$cpu.session"
		echo "e2e: $cpu: session written, in $((SECONDS - started)) s"
	elif diff -u --label "testdata/e2e/$cpu.session" --label "the machine's answers" "testdata/e2e/$cpu.session" "$dir/answers"; then
		echo "e2e: $cpu: $(grep -c '^\$ ' "$dir/answers") commands answered as expected, in $((SECONDS - started)) s"
	else
		echo "e2e: $cpu: the answers differ; all of them are in ${dir#"$PWD/"}/answers" >&2
		return 1
	fi
}

tools
for cpu; do
	fetch "$cpu"
	initramfs "$cpu"
done
failed=
for cpu; do
	check "$cpu" || failed="$failed $cpu"
done
[ -z "$failed" ]
