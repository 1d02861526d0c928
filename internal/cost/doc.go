// Package cost guards against bt becoming slower, without a clock: valgrind counts the
// instructions of some runs, whose input is always the same, and a test compares them with
// those of testdata/instructions.
//
// Counts are a matter of bt's code, the Go toolchain and the CPU's architecture. So the
// file names the toolchain, and another one's counts are not compared. What a change
// makes dearer on purpose is written anew with
//
//	go test ./internal/cost -update
//
// and shows in the change's difference.
package cost
