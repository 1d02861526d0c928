#!/bin/bash
# Tests what scripts/dist.sh makes of the last commit: that it makes the same bytes again,
# elsewhere and with nothing compiled yet; that the .deb can be installed, upgraded and
# removed in a Debian of its own, and takes the crash handler with it; and what is in the
# other packages. It needs root, debootstrap, rpm, qemu-user, jq and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "disttest: needs root" >&2; exit 1; }
work=$(mktemp -d)
# What is mounted is so in a namespace that is gone by then.
trap 'rm -rf "$work"' EXIT
fail() { echo "disttest: $*" >&2; exit 1; }
ok() { echo "ok: $*"; }

# The programs that make packages are compiled once.
for tool in nfpm cyclonedx; do
	pkg=$(sed -n "s/^$tool=//p" scripts/dist.sh)
	GOBIN=$work/tools go install "$pkg"
done
export NFPM=$work/tools/nfpm CYCLONEDX=$work/tools/cyclonedx-gomod

for copy in one a/second/copy; do
	git clone -q --no-hardlinks . "$work/$copy"
done
"$work/one/scripts/dist.sh" "$work/dist" 2>"$work/log" || { cat "$work/log"; exit 1; }
(
	cd "$work/a/second/copy"
	GOCACHE=$work/cache ARCHES=amd64 HOME=$work/home GOMODCACHE=$(go env GOMODCACHE) \
		scripts/dist.sh "$work/again" >/dev/null 2>"$work/log" || { cat "$work/log"; exit 1; }
)
rm -rf "$work/cache"
(cd "$work/dist" && sha256sum --quiet -c SHA256SUMS) || fail "SHA256SUMS"
grep -v -E 'arm64|aarch64' "$work/dist/SHA256SUMS" | diff - "$work/again/SHA256SUMS" || fail "another build is another"
ok "reproducible"

cd "$work/dist"
version=$("$work/one/scripts/version.sh")
for f in bt-"$version"-linux-{amd64,arm64}.{tar.gz,cdx.json} bt-"$version"-1.{x86_64,aarch64}.rpm bt_"$version"-1_{amd64,arm64}.deb; do
	[ -s "$f" ] || fail "no $f"
done
[ "$(find . -name '*.apk' | wc -l)" = 2 ] || fail "no .apk"

mkdir "$work/tar"
for arch in amd64 arm64; do
	tar -C "$work/tar" -xzf "bt-$version-linux-$arch.tar.gz"
	bin=$work/tar/bt-$version-linux-$arch/bin
	run=
	[ $arch = arm64 ] && [ "$(uname -m)" != aarch64 ] && run=qemu-aarch64
	$run "$bin/bt" version | grep -F "bt v$version (commit $(git -C "$work/one" rev-parse HEAD), go" || fail "version of $arch"
	for prog in bt bt-debuginfod; do
		case $(file -b "$bin/$prog" 2>/dev/null || readelf -l "$bin/$prog") in *interpreter*) fail "$prog of $arch is not static" ;; esac
	done
done
ok "tarballs"

want=$(cd "$work/one" && go list -m -f '{{.Version}}' github.com/spf13/cobra)
got=$(jq -r '.components[] | select(.name == "github.com/spf13/cobra").version' "bt-$version-linux-amd64.cdx.json")
[ "$got" = "$want" ] || fail "the bill of materials has cobra $got"
ok "bill of materials"

rpm -K --nosignature ./*.rpm | grep -v 'digests OK' && fail "rpm -K"
mkdir "$work/rpm"
rpm --root "$work/rpm" --initdb
rpm --root "$work/rpm" -i --test --nodeps --noscripts "bt-$version-1.x86_64.rpm"
rpm --root "$work/rpm" -i --nodeps --noscripts "bt-$version-1.x86_64.rpm"
rpm --root "$work/rpm" -V --nodeps --noscripts bt || fail "rpm -V"
"$work/rpm/usr/bin/bt" version >/dev/null
rpm --root "$work/rpm" -e --noscripts bt
[ ! -e "$work/rpm/usr/bin/bt" ] || fail "rpm -e leaves bt"
rpm -qp --scripts "bt-$version-1.x86_64.rpm" | grep -q 'bt crash uninstall' || fail "the .rpm has no script"
ok ".rpm"

make -C "$work/one" install DESTDIR="$work/installed" PREFIX=/usr >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for f in bin/bt bin/bt-debuginfod share/man/man1/bt{,-run,-crash-install,-debuginfod}.1 share/bash-completion/completions/bt \
	share/zsh/site-functions/_bt share/fish/vendor_completions.d/bt.fish; do
	[ -s "$work/installed/usr/$f" ] || fail "make install leaves out $f"
done
ok "make install"

# An .apk is three gzipped tars; the second has the digest of the third.
python3 - ./*.apk <<'PYTHON'
import hashlib, io, sys, tarfile, zlib
for path in sys.argv[1:]:
    rest, streams = open(path, "rb").read(), []
    while rest:
        d = zlib.decompressobj(31)
        data = d.decompress(rest)
        streams.append((rest[:len(rest) - len(d.unused_data)], data))
        rest = d.unused_data
    control, files = streams[-2], streams[-1]
    names = lambda data: [m.name for m in tarfile.open(fileobj=io.BytesIO(data + bytes(1024)))]
    info = tarfile.open(fileobj=io.BytesIO(control[1] + bytes(1024))).extractfile(".PKGINFO").read().decode()
    assert "datahash = " + hashlib.sha256(files[0]).hexdigest() in info, info
    assert {".post-install", ".pre-deinstall"} <= set(names(control[1])), names(control[1])
    assert {"usr/bin/bt", "usr/bin/bt-debuginfod", "usr/share/man/man1/bt.1.gz", "usr/lib/sysusers.d/bt.conf"} <= set(names(files[1]))
PYTHON
ok ".apk"

root=$work/root
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1) || : # one of the files is missing
debootstrap --variant=minbase bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
cp "bt_$version-1_amd64.deb" "$root/bt.deb"
cat > "$root/test" <<'CHROOT'
set -euo pipefail
fail() { echo "disttest: .deb: $*" >&2; exit 1; }
pattern=/proc/sys/kernel/core_pattern
files() { find / -xdev -path /proc -prune -o -path /var/lib/dpkg -prune -o -path /var/log -prune -o -print | grep -v -E '^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/\.pwd\.lock)$' | sort; }
files > /before
dpkg -i /bt.deb
bt version
id bt-crash
[ -s /usr/share/man/man1/bt-crash.1.gz ] || [ -e /etc/dpkg/dpkg.cfg.d ] || fail "no manual page"
sleep 1000 &
bt --pid $! --debuginfod= > /out || fail "bt --pid: $?"
kill $!
grep -q nanosleep /out || { cat /out; fail "no stack"; }
rm /out
grep -q '^|/usr/bin/bt crash handle' $pattern && fail "the package has made bt the handler by itself"
bt crash install
grep -q '^|/usr/bin/bt crash handle' $pattern || fail "not installed"
bt crash status || fail "bt crash status: $?"
bt gate register > /dev/null
# A new version leaves all as it is.
dpkg -i /bt.deb
grep -q '^|/usr/bin/bt crash handle' $pattern || fail "an upgrade takes the handler away"
sh /var/lib/dpkg/info/bt.prerm 1 # rpm's way to say so
grep -q '^|/usr/bin/bt crash handle' $pattern || fail "an upgrade by rpm takes the handler away"
dpkg -r bt
[ "$(cat $pattern)" = core.of.before ] || fail "the kernel is left with $(cat $pattern)"
[ -d /var/lib/bt/crashes ] || fail "the reports are gone before --purge"
dpkg -P bt
files | diff /before - || fail "files are left"
# What was remembered can be lost.
dpkg -i /bt.deb
bt crash install
rm -r /var/lib/bt/crashes
dpkg -P bt
[ "$(cat $pattern)" = core ] || fail "without settings the kernel is left with $(cat $pattern)"
CHROOT
# A kernel's settings of its own: files in place of the sysctls.
echo core.of.before > "$root/core_pattern"
echo 0 > "$root/core_pipe_limit"
unshare --mount --pid --fork sh -e -c '
	mount -t proc proc "$1/proc"
	for name in core_pattern core_pipe_limit; do mount --bind "$1/$name" "$1/proc/sys/kernel/$name"; done
	exec chroot "$1" bash /test' sh "$root" || fail "see above"
ok ".deb"
