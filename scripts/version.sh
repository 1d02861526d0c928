#!/bin/sh
# Prints the version of the tree: the tag of its commit without the v ("1.2.0"), or, of a
# commit without one, 0.0.0, the commit's time and its number, in a form that sorts right
# in packages ("0.0.0~git20261127.050022.f79976b"). "version.sh date" prints the day of
# the commit, "version.sh epoch" its time in seconds since 1970. Outside of git the
# version is 0.0.0, and the time is now.
cd "$(dirname "$0")/.." || exit 1
export TZ=UTC0
if ! epoch=$(git log -1 --format=%ct 2>/dev/null); then
	commit=
	epoch=${SOURCE_DATE_EPOCH:-$(date +%s)}
else
	commit=$(git rev-parse --short=12 HEAD)
fi
case "$1" in
date) date -d "@$epoch" +%Y-%m-%d ;;
epoch) echo "$epoch" ;;
*)
	if tag=$(git describe --exact-match --tags --match 'v[0-9]*' 2>/dev/null); then
		echo "${tag#v}"
	elif [ -n "$commit" ]; then
		echo "0.0.0~git$(date -d "@$epoch" +%Y%m%d.%H%M%S).$commit"
	else
		echo 0.0.0
	fi
	;;
esac
