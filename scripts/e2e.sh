#!/bin/bash
# bt on kernels of its own: Debian's, booted in qemu (machine.sh).
#
#   e2e.sh [--update] [NAME]...
#
#   amd64     replays testdata/e2e/amd64.session: with the gate_dso module
#   arm64     replays testdata/e2e/arm64.session
#   cores64   programs for arm64 die, and bt reads their cores here; Debian's programs
#   tests32   the tests that run 32-bit programs, on a kernel that runs them
#   no32      the same tests and the demo, on a kernel that runs none: each says so
#   attack    a hostile user against an installed crash handler
#   demo32    the 32-bit half of the demo, for scripts/demo.sh
#   tests-arm64  tests that run arm64 programs, on a CPU with all that qemu knows
#   plain-arm64  some of them on one without pointer authentication
#   pages16-arm64  some of them on a kernel whose pages have 16 KiB (downloads 90 MB)
#
# Default: amd64, arm64, plain-arm64, tests32, no32, attack. --update writes the sessions
# anew. What is downloaded stays in build/e2e, `make clean` removes it. Nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

update=
if [ "${1-}" = --update ]; then
	update=1
	shift
fi
[ $# -gt 0 ] || set -- amd64 arm64 plain-arm64 tests32 no32 attack

work=$PWD/build/e2e
mkdir -p "$work"

die() {
	echo "e2e: $*" >&2
	exit 1
}

# What is missing, told at once, as one line to copy.
tools() {
	local name tool package missing= probe list="cpio:cpio gcc:gcc make:make gzip:gzip xz:xz-utils"
	for name; do
		case $name in
		arm64 | cores64)
			list="$list qemu-system-aarch64:qemu-system-arm aarch64-linux-gnu-gcc-12:gcc-12-aarch64-linux-gnu
				aarch64-linux-gnu-g++-12:g++-12-aarch64-linux-gnu arm-linux-gnueabihf-gcc-12:gcc-12-arm-linux-gnueabihf
				gdb-multiarch:gdb-multiarch"
			;;
		*-arm64) list="$list qemu-system-aarch64:qemu-system-arm qemu-aarch64:qemu-user aarch64-linux-gnu-gcc-12:gcc-12-aarch64-linux-gnu aarch64-linux-gnu-g++-12:g++-12-aarch64-linux-gnu" ;;
		*) list="$list qemu-system-x86_64:qemu-system-x86" ;;
		esac
	done
	for tool in $list; do
		package=${tool#*:} tool=${tool%:*}
		command -v "$tool" >/dev/null || missing="$missing $package"
	done
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		die "needs Debian's packages (apt-get, dpkg-deb): run it on Debian 12, or in a container of it"
	probe=$(mktemp)
	echo 'int main(void){return 0;}' | gcc -m32 -static -x c -o "$probe" - 2>/dev/null || missing="$missing gcc-multilib"
	rm -f "$probe"
	[ -z "$missing" ] || die "some tools are missing; this installs them: apt-get install --no-install-recommends$(printf '%s\n' $missing | sort -u | sed 's/^/ /' | tr -d '\n')"
}

# apt NAME ARG... runs apt-NAME on package lists of its own, for both CPUs: the
# machine's are neither needed nor touched, and any user may do it.
apt() {
	local name=$1
	shift
	if [ ! -e "$work/apt/conf" ]; then
		mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/sources"
		# Newer kernels, beside the machine's own sources.
		cp -r /etc/apt/sources.list.d/. "$work/apt/sources/" 2>/dev/null || true
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" >"$work/apt/sources/bt-backports.list"
		cat >"$work/apt/conf" <<-END
			Dir::State "$work/apt/state";
			Dir::State::status "/dev/null";
			Dir::Cache "$work/apt/cache";
			Dir::Log "$work/apt";
			Dir::Etc::sourceparts "$work/apt/sources";
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
	apt cache ${release:+-t "$release"} depends "$1" | sed -n 's/^ *|\?Depends: //p' | grep -E "$2"
}

# fetch DIR CPU [RELEASE] unpacks a kernel (Debian 12's, or that of RELEASE) and a
# static busybox into DIR/root, once. For the machines that get a module, the kernel's
# headers, too, with programs that run here.
fetch() {
	local dir=$work/$1 cpu=$2 release=${3-} kernel build packages meta=linux-image-cloud-$2
	[ "$1" != pages16 ] || meta=linux-image-$cpu-16k
	[ ! -e "$dir/fetched" ] || return 0
	echo "e2e: downloading Debian's $cpu kernel${release:+ of $release}"
	rm -rf "$dir"
	mkdir -p "$dir/debs" "$dir/root"
	[ -e "$work/apt/updated" ] || apt get update || true
	touch "$work/apt/updated"
	kernel=$(depends "$meta:$cpu" '^linux-image-') ||
		die "no $meta to download: needs the package sources of Debian 12, and once a network"
	packages="$kernel busybox-static:$cpu"
	if [ "$1" = "$cpu" ]; then
		# The headers of the same build.
		build=${kernel/image/headers}
		packages="$packages $build $(depends "$build" '^<?linux-(headers|kbuild)-' | sed 's/[<>]//g; s/:.*//')"
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

# module CPU DIR builds gate_dso.ko into DIR; its compiler's warnings are errors.
module() {
	local dir=$work/$1/module log=$work/$1/module.log headers compiler cross=
	headers=$(echo "$work/$1"/root/usr/src/linux-headers-*-cloud-"$1")
	compiler=$(sed -nE 's/^(override )?CC = .*(gcc-[0-9]+)$/\2/p' "$headers/.kernelvariables")
	[ "$1" = amd64 ] || cross="ARCH=$1 CROSS_COMPILE=aarch64-linux-gnu-"
	command -v "${cross##*=}$compiler" >/dev/null || die "the kernel's compiler is missing: apt-get install --no-install-recommends $compiler${cross:+-aarch64-linux-gnu}"
	rm -rf "$dir"
	cp -r contrib/gate_dso "$dir"
	make -C "$dir" KDIR="$headers" W=1 $cross >"$log" 2>&1 &&
		! grep -i warning "$log" || {
		cat "$log" >&2
		die "contrib/gate_dso does not build without warnings"
	}
	cp "$dir/gate_dso.ko" "$2/"
}

# tree DIR NAME CPU makes $work/NAME/tree, with DIR's busybox, and bt.
tree() {
	tree=$work/$2/tree
	rm -rf "$tree"
	mkdir -p "$tree/bin"
	cp "$work/$1/root/bin/busybox" "$tree/bin/"
	CGO_ENABLED=0 GOOS=linux GOARCH=$3 go build -o "$tree/bin/bt" ./cmd/bt
}

# boot DIR CPU NAME [PARAMETER]... runs $work/NAME/tree on DIR's kernel; $work/NAME/console
# is what it printed.
boot() {
	local dir=$1 cpu=$2 name=$3
	shift 3
	./scripts/machine.sh "$cpu" "$(echo "$work/$dir"/root/boot/vmlinuz-*)" "$work/$name/tree" "$@" >"$work/$name/console"
}

# normalise takes out what differs from run to run, or from one build of the
# kernel to the next: addresses (their width stays), offsets that are not 0, sizes,
# numbers of processes, build IDs, and what threads wait for, which tells for how long.
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
		/^# waits in /d
	'
}

# session_tree CPU makes the tree that replays testdata/e2e/CPU.session.
session_tree() {
	local cpu=$1
	fetch "$cpu" "$cpu"
	tree "$cpu" "$cpu" "$cpu"
	cp testdata/e2e/session.sh "$tree/"
	cp "testdata/e2e/$cpu.programs" "$tree/programs"
	sed -n 's/^\$ //p' "testdata/e2e/$cpu.session" >"$tree/session"
	echo "sh /session.sh" >"$tree/commands"
	module "$cpu" "$tree"
	if [ "$cpu" = arm64 ]; then
		aarch64-linux-gnu-gcc-12 -static -O1 -fno-inline -g0 -o "$tree/bin/signals64" testdata/progs/signals.c
		arm-linux-gnueabihf-gcc-12 -static -O1 -fno-inline -g -o "$tree/bin/leaf32" testdata/progs/leaf.c
		arm-linux-gnueabihf-gcc-12 -static -O1 -fno-inline -g -o "$tree/bin/threads32" testdata/progs/threads.c
	else
		for bits in 32 64; do
			gcc -m$bits -static -O1 -fno-inline -g0 -o "$tree/bin/signals$bits" testdata/progs/signals.c
			gcc -m$bits -static -O1 -fno-inline -g0 -o "$tree/bin/clock$bits" testdata/e2e/clock.c
		done
	fi
}

# session CPU replays it and compares.
session() {
	local cpu=$1 dir=$work/$1
	boot "$cpu" "$cpu" "$cpu" || {
		tail -n 40 "$dir/console" >&2
		return 1
	}
	# Less the mark and the empty line before the first command, and those behind the last.
	sed '1,2d; /^=== exit /,$d' "$dir/console" | sed '$d' | normalise >"$dir/answers"
	if [ -n "$update" ]; then
		cp "$dir/answers" "testdata/e2e/$cpu.session"
		echo "e2e: $cpu: session written"
	elif diff -u --label "testdata/e2e/$cpu.session" --label "the machine's answers" "testdata/e2e/$cpu.session" "$dir/answers"; then
		echo "e2e: $cpu: $(grep -c '^\$ ' "$dir/answers") commands answered as expected"
	else
		echo "e2e: $cpu: the answers differ; all of them are in ${dir#"$PWD/"}/answers" >&2
		return 1
	fi
}

# root64 unpacks Debian's bash, python3, gdb, node and eu-stack for arm64, and what
# they depend on, into $work/arm64/programs, once. The packages are kept.
root64() {
	local cache=${BT_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bt-e2e} dir=$work/arm64/programs deb
	[ ! -e "$work/arm64/programs.done" ] || return 0
	echo "e2e: downloading Debian's programs for arm64, 70 MB, to $cache"
	mkdir -p "$cache/archives/partial"
	apt get -o Dir::Cache="$cache" -o APT::Architecture=arm64 -o APT::Install-Recommends=false \
		install -y --download-only bash python3-minimal gdb nodejs elfutils || die "cannot download Debian's programs for arm64"
	rm -rf "$dir"
	mkdir -p "$dir"
	for deb in "$cache"/archives/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	rm -rf "$dir"/usr/share/{doc,man,locale,info,perl5}
	touch "$work/arm64/programs.done"
}

# cores64 runs the tests that boot their machines by themselves.
cores64() {
	BT_TEST_STRICT=1 BT_ARM64_KERNEL=$(echo "$work"/arm64/root/boot/vmlinuz-*) BT_ARM64_BUSYBOX=$work/arm64/root/bin/busybox BT_ARM64_ROOT=$work/arm64/programs \
		CGO_ENABLED=0 go test -count=1 -v -timeout 15m -run '^TestMachine' ./internal/suite >"$work/cores64.log" 2>&1 || {
		grep -v '^ *--- PASS\|^=== ' "$work/cores64.log" >&2
		return 1
	}
	echo "e2e: cores64: $(grep -cE '^ +--- PASS' "$work/cores64.log") tests passed"
}

# tests32 lists the tests that run 32-bit programs: package, which of its tests, and
# flags.
tests32() {
	cat <<-'END'
		internal/testenv TestKernel32
		internal/arch/i386 .
		internal/gate/vdso TestForABI|TestHelpers
		internal/process/live ^TestSnapshot$/32-bit
		internal/steptest TestEveryInstruction/^m32 -test.short
		internal/suite TestGateNames
		internal/suite (TestSignals|TestChains|TestRunCrashes)/32
		internal/suite TestCoreIsLive/32-bit/kernel
	END
}

# attacks lists the tests of the crash handler that change settings of the machine or
# attack it.
attacks() {
	cat <<-'END'
		internal/crash .
		internal/suite ^TestCrash(Privileges|Installed|Flood|Stalls|Timeout|Limits|Dir|Namespace)$ -test.short
	END
}

# tests_arm64 lists those that run arm64 programs, but for TestAttached…, which takes
# minutes there; tests_arm64_plain those that are run again on a CPU that signs no
# addresses and has no atomic instructions.
tests_arm64() {
	cat <<-'END'
		internal/process/live . -test.short -test.skip=^TestAttached
		internal/suite ^Test(Signals|Chains|NoReturn|MuslThreads|Waits)$
		internal/suite ^Test(Deep|ThousandThreads|Churn|GoPrograms|GoAndC|Vfork|Coroutines|WrongRow|ZombieLeader)$ -test.short
		internal/suite ^Test(ExecutableDeleted|ExecutableReplaced|LibraryReplaced|OddPaths|Chroot)$ -test.short
		internal/suite ^Test(KilledAnywhere|NoSignalLost|StoppedStaysStopped|RunCrashes|RunThreads|RunFollowForks)$ -test.short
		internal/runtimes/golang ^Test(AsRuntimeStack|OnlyThreads|Files)$
		internal/steptest TestEveryInstruction -test.short
	END
}

tests_arm64_plain() {
	cat <<-'END'
		internal/steptest TestEveryInstruction/^O2$ -test.short
		internal/suite ^TestSignals$/^O1$/callnull -test.short
	END
}

# tests_pages16 lists those that are run again on pages of 16 KiB.
tests_pages16() {
	cat <<-'END'
		internal/process/live . -test.short -test.skip=^TestAttached
		internal/suite ^Test(Signals|Chains|MuslThreads|Deep|ThousandThreads|GoPrograms|Vfork|ZombieLeader|ExecutableDeleted|LibraryReplaced)$ -test.short
		internal/steptest TestEveryInstruction/^O2$ -test.short
	END
}

# libraries CPU copies what the tests' programs need into $tree.
libraries() {
	local lib
	if [ "$1" = arm64 ]; then
		mkdir -p "$tree/lib"
		cp "$work/arm64/musl/lib/aarch64-linux-musl/libc.so" "$tree/lib/ld-musl-aarch64.so.1"
		for lib in libc.so.6 libm.so.6 libgcc_s.so.1 libstdc++.so.6 ld-linux-aarch64.so.1; do
			cp -L "$(aarch64-linux-gnu-gcc-12 -print-file-name=$lib)" "$tree/lib/"
		done
		return
	fi
	mkdir -p "$tree/lib/x86_64-linux-gnu" "$tree/lib32" "$tree/lib64"
	for lib in libc.so.6 libm.so.6 libgcc_s.so.1; do
		cp -L "$(gcc -m32 -print-file-name=$lib)" "$tree/lib32/"
		cp -L "$(gcc -print-file-name=$lib)" "$tree/lib/x86_64-linux-gnu/"
	done
	cp -L "$(gcc -m32 -print-file-name=ld-linux.so.2)" "$tree/lib/"
	cp -L "$(gcc -print-file-name=ld-linux-x86-64.so.2)" "$tree/lib64/"
}

# musl unpacks Debian's musl for arm64 into $work/arm64/musl, once.
musl() {
	local dir=$work/arm64/musl deb
	[ ! -e "$dir/specs" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir"
	(cd "$dir" && apt get download musl:arm64 musl-dev:arm64) || die "cannot download Debian's musl for arm64"
	for deb in "$dir"/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	ln -sf "$dir/lib/aarch64-linux-musl/libc.so" "$dir/usr/lib/aarch64-linux-musl/libc.so"
	sed "s|/usr/include/aarch64|$dir&|g; s|/usr/lib/aarch64|$dir&|g" "$dir/usr/lib/aarch64-linux-musl/musl-gcc.specs" >"$dir/specs"
}

# cross makes $work/cross: the compilers of arm64 programs by the names that they have
# on such a machine.
cross() {
	local tool
	musl
	mkdir -p "$work/cross"
	printf '#!/bin/sh\nexec aarch64-linux-gnu-gcc-12 -mno-outline-atomics -specs="%s" "$@"\n' "$work/arm64/musl/specs" >"$work/cross/musl-gcc"
	chmod +x "$work/cross/musl-gcc"
	for tool in gcc-12:gcc g++-12:g++ strip:strip objcopy:objcopy; do
		ln -sf "$(command -v "aarch64-linux-gnu-${tool%:*}")" "$work/cross/${tool#*:}"
	done
}

# build_only CPU BINARY ARG... runs a test binary as far as it builds its programs. One
# for arm64 runs in qemu's user mode, the cross compilers that it starts run on this
# machine. Tests that go further than that may fail there; the machine tells what was
# not built.
build_only() {
	local cpu=$1
	shift
	export BT_SUITE_BT=$tree/bin/bt BT_PROGRAMS=$tree/programs BT_TEST_STRICT=1
	if [ "$cpu" = arm64 ]; then
		BT_BUILD_ONLY=other PATH=$work/cross:$PATH GOARCH=arm64 CC=aarch64-linux-gnu-gcc-12 timeout 300 qemu-aarch64 "$@" || true
	else
		BT_BUILD_ONLY=1 "$@"
	fi
}

# tree_tests LIST NAME KERNEL [CPU] makes the tree for the tests that LIST prints: their
# binaries and the programs that they run, both built here, and what those need.
tree_tests() {
	local list=$1 name=$2 cpu=${4-amd64} package tests flags binary slow=
	[ "$cpu" != arm64 ] || slow=1
	tree "$3" "$name" "$cpu"
	mkdir -p "$tree/programs" "$tree/tests" "$tree/demo"
	[ "$cpu" != arm64 ] || cross
	libraries "$cpu"
	"$list" | while read -r package tests flags; do
		binary=/tests/${package##*/}.test
		[ -e "$tree$binary" ] || GOARCH=$cpu CGO_ENABLED=0 go test -c -o "$tree$binary" "./$package"
		# The tests build their programs, and go no further.
		(cd "$package" && build_only "$cpu" "$tree$binary" -test.run "$tests" $flags >"$tree/build.log" 2>&1) || {
			cat "$tree/build.log" >&2
			die "$package: the programs of its tests do not build"
		}
		mkdir -p "$tree/$package"
		[ ! -d "$package/testdata" ] || [ -e "$tree/$package/testdata" ] || cp -r "$package/testdata" "$tree/$package/"
		echo "cd /$package && BT_SUITE_BT=/bin/bt BT_PROGRAMS=/programs BT_TEST_STRICT=1 BT_SUITE_SLOW=$slow $binary -test.v -test.timeout 4m -test.run '$tests' $flags"
	done >"$tree/commands"
	rm "$tree/build.log"
}

# tree32 NAME makes the tree for the tests of 32-bit programs and the demo.
tree32() {
	tree_tests tests32 "$1" "$1"
	CGO_ENABLED=0 go build -o "$tree/demo/kernel32" ./internal/testenv/kernel32
	gcc -m32 -g0 -O1 -fno-inline -o "$tree/demo/32-bit" testdata/demo/demo.c
	gcc -static -g0 -O1 -fno-inline -o "$tree/demo/64-bit" testdata/demo/demo.c
	cp scripts/demo.sh "$tree/bin/"
	echo "demo.sh /bin/bt /demo" >>"$tree/commands"
}

# results NAME WANT prints what failed in the machine, by test; that none has, and
# that none but WANT came out (PASS or SKIP), else fails.
results() {
	local console=$work/$1/console other
	if grep -E '^ *--- FAIL|^panic: |^=== exit [^0]' "$console" >&2; then
		echo "e2e: $1: these tests failed; all that the machine printed is in ${console#"$PWD/"}" >&2
		return 1
	fi
	grep -qE "^ *--- $2" "$console" || {
		echo "e2e: $1: no test ended with $2, see ${console#"$PWD/"}" >&2
		return 1
	}
}

# tests_pass boots a kernel that runs 32-bit programs: every test passes, none is skipped.
tests_pass() {
	MACHINE_MEMORY=1024 MACHINE_TIMEOUT=${MACHINE_TIMEOUT:-900} boot tests32 amd64 tests32 || [ $? -eq 1 ] || return 1
	results tests32 PASS || return 1
	if awk -f scripts/skips.awk "$work/tests32/console" | grep . >&2; then
		echo "e2e: tests32: these tests were skipped; the machine lacks what they need" >&2
		return 1
	fi
	grep -q '^[0-9a-f]\{8\} <__kernel_vsyscall+0x' "$work/tests32/console" || {
		echo "e2e: tests32: the demo shows no 32-bit stack" >&2
		return 1
	}
	echo "e2e: tests32: $(grep -cE '^ *--- PASS' "$work/tests32/console") tests passed, and the demo"
}

# arm64_pass NAME CPU [DIR] boots an arm64 machine whose CPU is qemu's CPU, with the
# kernel of DIR.
arm64_pass() {
	MACHINE_CPU=$2 MACHINE_MEMORY=1024 MACHINE_TIMEOUT=${MACHINE_TIMEOUT:-900} boot "${3-arm64}" arm64 "$1" || [ $? -eq 1 ] || return 1
	results "$1" PASS || return 1
	echo "e2e: $1: $(grep -cE '^ *--- PASS' "$work/$1/console") tests passed"
}

# attack boots a machine that is thrown away afterwards. Its kernel gives no pidfd.
attack() {
	MACHINE_MEMORY=1024 MACHINE_TIMEOUT=${MACHINE_TIMEOUT:-600} boot tests32 amd64 attack || [ $? -eq 1 ] || return 1
	results attack PASS || return 1
	echo "e2e: attack: $(grep -cE '^ *--- PASS' "$work/attack/console") tests passed"
}

# tests_skip boots one that does not: the tests and the demo say so, none fails.
tests_skip() {
	local reason="this kernel runs no 32-bit programs" console=$work/no32/console
	MACHINE_MEMORY=1024 MACHINE_TIMEOUT=${MACHINE_TIMEOUT:-300} boot no32 amd64 no32 ia32_emulation=0 || [ $? -eq 1 ] || return 1
	results no32 SKIP || return 1
	if awk -f scripts/skips.awk "$console" | grep -v "	$reason$" >&2; then
		echo "e2e: no32: these reasons are others than: $reason" >&2
		return 1
	fi
	grep -q "^($reason" "$console" || {
		echo "e2e: no32: the demo does not say: $reason" >&2
		return 1
	}
	echo "e2e: no32: $(grep -cE '^ *--- SKIP' "$console") tests skipped for the kernel, none failed; the demo says so"
}

# demo32_tree makes the tree for the 32-bit half of the demo.
demo32_tree() {
	tree tests32 demo32 amd64
	mkdir -p "$tree/demo"
	CGO_ENABLED=0 go build -o "$tree/demo/kernel32" ./internal/testenv/kernel32
	gcc -m32 -static -g0 -O1 -fno-inline -o "$tree/demo/32-bit" testdata/demo/demo.c
	cp scripts/demo.sh "$tree/bin/"
	echo "demo.sh /bin/bt /demo" >"$tree/commands"
}

demo32() {
	boot tests32 amd64 demo32 || return 1
	sed '/^=== run /d; /^=== exit /,$d' "$work/demo32/console"
}

# prepare NAME makes all that a machine needs; what fails here ends the script.
prepare() {
	case $1 in
	amd64 | arm64)
		session_tree "$1"
		;;
	cores64)
		fetch arm64 arm64
		root64
		;;
	tests32)
		fetch tests32 amd64
		tree32 tests32
		;;
	attack)
		fetch tests32 amd64
		tree_tests attacks attack tests32
		# Tests look for the schemas where the sources were.
		mkdir -p "$tree$PWD/docs"
		cp -R docs/schema "$tree$PWD/docs/"
		;;
	tests-arm64)
		fetch arm64 arm64
		tree_tests tests_arm64 tests-arm64 arm64 arm64
		;;
	plain-arm64)
		fetch arm64 arm64
		tree_tests tests_arm64_plain plain-arm64 arm64 arm64
		;;
	pages16-arm64)
		fetch arm64 arm64
		fetch pages16 arm64 bookworm-backports
		tree_tests tests_pages16 pages16-arm64 arm64 arm64
		;;
	no32)
		fetch no32 amd64 bookworm-backports # ia32_emulation= came with Linux 6.7
		tree32 no32
		echo "bt gate dump --abi 32 -o /tmp/gate.so; true" >>"$tree/commands"
		;;
	demo32)
		fetch tests32 amd64
		demo32_tree
		;;
	*) die "no machine $1" ;;
	esac
}

check() {
	case $1 in
	amd64 | arm64) session "$1" ;;
	cores64) cores64 ;;
	tests32) tests_pass ;;
	tests-arm64) arm64_pass tests-arm64 max,pauth-impdef=on ;; # signs with what is quick to emulate
	plain-arm64) arm64_pass plain-arm64 cortex-a72 ;;
	pages16-arm64) arm64_pass pages16-arm64 max,pauth-impdef=on pages16 ;;
	no32) tests_skip ;;
	attack) attack ;;
	demo32) demo32 ;;
	esac
}

tools "$@"
for name; do
	prepare "$name"
done
failed=
for name; do
	started=$SECONDS
	check "$name" || failed="$failed $name"
	[ "$name" = demo32 ] || echo "e2e: $name: took $((SECONDS - started)) s"
done
[ -z "$failed" ] || die "failed:$failed"
