// Package debuginfod is a client of debuginfod servers, which hand out debug
// files by build ID. Its cache is that of elfutils' own client, so that what gdb
// downloaded serves bt and the other way round.
//
// The package asks the cache. Downloading, package fetch, is left to a helper
// program that is started when something is to be downloaded for the first time:
// net/http and its TLS would make every start of bt 0.4 ms longer (a sixth of it)
// and its binary twice as large.
package debuginfod
