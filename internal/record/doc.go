// Package record takes the stacks of a process again and again, and counts those that
// are alike: a profile of where its threads are, asleep or not.
//
// What it keeps is bounded, however long it records and whatever the process does: an
// address is kept once for each place in a file, whatever the file was mapped to by
// then, a stack once for each chain of places, and threads that have ended are counted
// together where there are many. Names are found by the files that were mapped when the
// sample was taken: the maps are read again after each sample, or, where that takes
// long, after several, and what was taken between two readings that disagree about an
// address is not counted.
package record
