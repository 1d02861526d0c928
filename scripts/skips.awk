# The tests that `go test -v` skipped, with their reasons: TEST<TAB>REASON.
# What a test logs comes behind "=== RUN", "=== NAME" or "=== CONT" with its name.
/^=== (RUN|NAME|CONT)/ { test = $3 }
/^ +[A-Za-z0-9_]+\.go:[0-9]+: / {
	reason = $0
	sub(/^ +[A-Za-z0-9_]+\.go:[0-9]+: /, "", reason)
	last[test] = reason
}
/^ *--- SKIP: / { print $3 "\t" last[$3]; delete last[$3] }
/^(ok|FAIL)[ \t]/ { split("", last) }
