// Package suite tests the bt program as a user runs it: it builds bt, starts
// small programs (testdata/progs) and large ones that are on the machine,
// brings them into a state, and compares what bt prints with what is known to
// be on their stacks. It holds tests only.
package suite
