# Starts the programs of /programs that are looked at, and replays the commands
# of /session, one a line, printing them as a terminal would.

# start VARIABLE PROGRAM [ARG]... sets VARIABLE to the process's number, once
# it says that it is ready.
start() {
	variable=$1
	shift
	mkfifo "/tmp/$variable"
	"$@" >"/tmp/$variable" &
	eval "$variable=$!"
	read -r _ <"/tmp/$variable"
}

# addresses FROM BYTES prints the address of every instruction slot.
addresses() {
	seq "$((0x$1))" 4 "$((0x$1 + $2 - 1))" | xargs printf '%x\n'
}

# names prints the functions that bt named, each once.
names() {
	sed -n 's/.*<\(.*\)+0x[0-9a-f]*>$/\1/p' | uniq
}

. /programs

while read -r command; do
	echo
	echo "\$ $command"
	eval "$command" 2>&1
	status=$?
	[ $status -eq 0 ] || echo "[exit $status]"
done </session
