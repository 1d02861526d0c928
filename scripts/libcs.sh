#!/bin/bash
# Unpacks the C libraries of other Debian releases into DIR/SUITE, for the tests of what
# threads wait for: their mutexes and the like differ from one glibc to the next. It asks
# the mirror that apt uses, and installs nothing.
#   scripts/libcs.sh DIR [SUITE…]
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- bullseye trixie sid

mirror() {
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$' || echo http://deb.debian.org/debian
}

for suite; do
	[ ! -e "$dir/$suite/done" ] || continue
	rm -rf "${dir:?}/$suite"
	apt=$dir/$suite/apt
	mkdir -p "$apt"/{lists,cache,etc}
	: >"$apt/etc/status" # as if nothing were installed
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" >"$apt/etc/sources.list"
	get() {
		(cd "$apt" && apt-get -qq -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null \
			-o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/etc/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=false "$@")
	}
	get update
	get download libc6
	dpkg-deb -x "$apt"/libc6_*.deb "$dir/$suite"
	rm -rf "$apt"
	touch "$dir/$suite/done"
done
