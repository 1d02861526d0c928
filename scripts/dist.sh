#!/bin/bash
# Makes what a release consists of in the directory that is its argument: for each CPU a
# .tar.gz, .deb, .rpm and .apk, their bill of materials (CycloneDX), and SHA256SUMS. The
# same commit and the same Go give the same bytes, in any directory, on any day.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-build/dist}")
arches=${ARCHES:-amd64 arm64}
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

version=$(scripts/version.sh)
SOURCE_DATE_EPOCH=$(scripts/version.sh epoch)
export SOURCE_DATE_EPOCH CGO_ENABLED=0 LC_ALL=C TZ=UTC
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out"

make share SHARE="$work/share" >&2
find "$work/share/man" -type f -exec gzip -n9 {} +

# Their times would be in the .apk.
cp -r packaging/scripts "$work/scripts"
find "$work/scripts" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +

# tree puts everything that is installed below its argument.
tree() {
	mkdir -p "$1/bin"
	GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=auto \
		-ldflags "-s -w -X main.release=v$version" -o "$1/bin/" ./cmd/...
	cp -a "$work/share" "$1/share"
	# Debian's zsh reads another directory as well.
	install -D -m 644 "$1/share/zsh/site-functions/_bt" "$1/share/zsh/vendor-completions/_bt"
	local doc=$1/share/doc/bt
	mkdir -p "$doc"
	cp -r README.md SECURITY.md CHANGELOG.md docs examples "$doc/"
	cp LICENSE "$doc/copyright"
	install -D -m 755 packaging/init.d/bt-gate "$doc/examples/init.d/bt-gate"
	for unit in packaging/systemd/*.service; do
		sed 's|/usr/local/bin/bt|/usr/bin/bt|' "$unit" | install -D -m 644 /dev/stdin "$1/lib/systemd/system/${unit##*/}"
	done
	install -D -m 644 packaging/sysusers.conf "$1/lib/sysusers.d/bt.conf"
	find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

for arch in $arches; do
	name=bt-$version-linux-$arch
	tree "$work/$name"
	tar -C "$work" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		-cf - "$name" | gzip -n9 > "$out/$name.tar.gz"
	for prog in bt bt-debuginfod; do
		${CYCLONEDX:-go run $cyclonedx} bin -json -std -noserial -notimestamp -version "v$version" \
			-output "$out/$prog-$version-linux-$arch.cdx.json" "$work/$name/bin/$prog" 2>&1 | grep -v INF >&2 || :
		test -s "$out/$prog-$version-linux-$arch.cdx.json"
	done
	for format in deb rpm apk; do
		v=$version
		# apk knows _git and a number, in place of ~ and text.
		[ $format = apk ] && v=$(echo "$v" | sed 's/~git\([0-9]*\)\.\([0-9]*\)\..*/_git\1\2/; s/~/_/')
		sed "s|@SCRIPTS@|$work/scripts|; s|@ARCH@|$arch|; s|@VERSION@|$v|; s|@TREE@|$work/$name|; s|@MTIME@|$(date -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)|" \
			packaging/nfpm.yaml > "$work/nfpm.yaml"
		# Its description has one line.
		[ $format != apk ] || sed -i '/^  bt prints/,/^  and for/d' "$work/nfpm.yaml"
		${NFPM:-go run $nfpm} package -f "$work/nfpm.yaml" -p $format -t "$out/" >&2
	done
done
cd "$out"
sha256sum -- * > "$work/sums"
mv "$work/sums" SHA256SUMS
ls -l
