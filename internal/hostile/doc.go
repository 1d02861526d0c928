// Package hostile is a campaign against bt: it gives bt damaged files and text by
// the thousand, and looks whether bt keeps its promises: no Go trace, an exit status
// of its own, nothing to drive a terminal with, bounded memory, an end.
//
//	go test ./internal/hostile                            1,000 inputs
//	go test ./internal/hostile -args -inputs 10000        more of them
//	go test ./internal/hostile -args -seed 7              others
//	go test ./internal/hostile -run /core -args -only 42  one again
//
// A new parser joins by a line in the table of kinds (hostile_test.go): where an
// intact input comes from, what of it is worth changing, and how bt is called.
package hostile
