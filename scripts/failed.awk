# Prints the failed tests of "go test -v", each below its output. What a test that runs
# beside others writes stands far from the line that tells that it failed.

function add(line) { if (count[test] < 200) output[test] = output[test] line "\n"; count[test]++ }

/^=== (RUN|NAME|CONT|PAUSE) / { test = $3; next }
/^ *--- FAIL: / {
	printf "%s", output[$3]
	if (count[$3] > 200) print "    … and " count[$3] - 200 " lines more"
	print
	delete output[$3]
	next
}
/^ *--- (PASS|SKIP): / { delete output[$3]; next }
/^panic:|^fatal error:|^SIGABRT|^SIGQUIT/ { crash = 1 }
# The end of a package. One that did not get as far as its tests' results has crashed.
/^(ok|FAIL|PASS|\?)/ {
	if (crash) printf "%s", output[test]
	if ($1 == "FAIL" && NF > 1) print
	crash = 0; test = ""; split("", output); split("", count)
	next
}
{ add($0) }
