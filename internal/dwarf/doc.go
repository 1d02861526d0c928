// Package dwarf finds the source line and the inlined calls of an address in
// DWARF debug information of versions 2 to 5. It reads the sections in place:
// no tree of entries is made, and what a lookup keeps is its answers alone.
//
// The package does no I/O. The caller gives the bytes of the sections, which may
// be those of a mapped file, and opens the files that the sections refer to: a
// supplementary file (dwz) and split units (.dwo, .dwp).
//
// # How a lookup goes
//
// The addresses are sorted and given to the compilation units that cover them,
// by the ranges of the units' root entries; the units that have none are asked
// for their functions. Each unit is visited once for all of its addresses, by as
// many goroutines as there are CPUs: one walk over its entries, which skips the
// subtrees that hold no code, and one run of its line program. What is kept of
// an entry that covers an address is where it is; names are read at the end, of
// the entries that answers refer to.
//
// # Which entry and which row answer
//
// Of the entries that cover an address the last one in the file counts, so that
// an inlined call goes before the function around it. Of the rows of the line
// table it is the last one at or below the address, in the first sequence that
// covers it. Ranges and sequences that do not start in code are those of
// functions that the linker has thrown away: their addresses are 0, 1, -1, -2 or
// small, and they are left out.
//
// # Hostile input
//
// Every length is checked against the bytes that are there. The work of one
// visit is bounded by the size of the unit; chains of references, nesting and
// range lists have limits. What is malformed ends the walk of its unit, and
// what has been found until then stays.
//
// The specification is that of dwarfstd.org; section numbers are those of
// version 5.
package dwarf
