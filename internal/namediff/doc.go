// Package namediff compares bt's names of addresses with those of other tools:
// readelf (whose list of symbols is nm's), llvm-symbolizer and eu-addr2line. Each
// answer falls into a class; see class for those that a difference can have. One
// that falls into none is a failure.
//
// The test in short, with the C library and libcrypto, is a test as any other. make
// diff compares everything that is on the machine: every function's start, an address
// inside each, and 100,000 random ones of each file.
//
// Source lines and inlined calls are compared with llvm-symbolizer's, for what many
// compilers make of the programs in testdata: see lineClass.
//
// readelf's list is read by a second, plain version of the rule of package elfsym;
// llvm-symbolizer names every address; eu-addr2line, which reads all symbols for each
// address, a sample. gdb is not asked: it takes the nearest symbol below.
package namediff
