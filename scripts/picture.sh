#!/bin/bash
# Makes docs/picture.svg, the picture in README.md, of what bt prints: for a program whose
# two threads wait for each other. It needs gcc, python3 and the right to trace.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT
gcc -O1 -g -pthread -fdebug-prefix-map="$PWD/testdata/docs=/src" -o "$work/bank" testdata/docs/bank.c
cd "$work"
mkfifo ready
./bank > ready &
pid=$!
read -r _ < ready
cd - >/dev/null
# As at a terminal: with colours, source lines and what threads wait for.
bin/bt --pid $pid --color always --waits -si --basenames |
	python3 scripts/picture.py bt --basenames --pid '$(pidof bank)' > "$work/picture.svg"
mv "$work/picture.svg" docs/picture.svg
