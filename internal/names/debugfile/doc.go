// Package debugfile finds what else names an image: the separate debug file
// that its symbol table was moved to, and the small symbol table that some
// distributions embed in the file itself (MiniDebugInfo).
//
// A debug file is used only when it is proven to belong to the image: by an
// equal build ID, or by the CRC of .gnu_debuglink where at least one of the two
// has no build ID. Equal build IDs are the stronger proof, so the CRC, which
// takes reading the whole file, is not asked then; unequal ones are a refusal
// whatever the CRC says. A debug file's own debuglink is not followed, and
// .gnu_debugaltlink, which has DWARF only, is not read.
//
// A prelinked image has another base than its debug file: Shift.
package debugfile
