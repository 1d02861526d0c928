// Package elfsym reads one ELF image: its segments and load bias, its build ID,
// its sections and, above all, which symbol names an address.
//
// debug/elf reads the headers. Symbol tables are used in place, from the mapped
// file or the image in memory: no object per symbol is ever made. A few lookups
// scan the table; when scans would cost more than an index, one is built.
//
// All addresses are link-time addresses, as the file has them; Bias and
// GateBias tell how far the run-time addresses of a mapping are from them.
//
// # Which symbol names an address
//
// Tables. .symtab is asked first, then .dynsym for what .symtab does not name.
// Where there is no .dynsym section, the table that PT_DYNAMIC points to
// takes its place; its length comes from DT_HASH or DT_GNU_HASH. Each table is
// judged by itself by the rules below.
//
// Candidates. A symbol must be defined in an executable section (SHF_ALLOC and
// SHF_EXECINSTR) and its value must lie in one. Where the file has no such
// section (no section headers), it must be defined in any section, and lie in an
// executable PT_LOAD. The sections of a relocatable file, which all begin at 0, are
// laid out one behind the other, .text first. Absolute and common symbols are
// out. The type must be FUNC, GNU_IFUNC, OBJECT or NOTYPE. The name may not be
// empty. Local symbols other than functions may not be called .L*, .annobin_*,
// nor $a, $d, $t, $x (with or without .suffix), which are the mapping symbols
// of ARM, AArch64 and RISC-V. ARM's Thumb bit is no part of a function's
// address. A function of 64-bit PowerPC's first ABI whose value lies in .opd is
// at the address that its descriptor there holds.
//
// Sized before sizeless. A symbol with a size covers [value, value+size), up to
// the end of its section. Of those that cover an address, the one that starts
// last, the innermost, names it. A sizeless symbol reaches to the next candidate
// of any size, or to the end of its section, unless it lies inside a sized
// symbol: then it names nothing. Thus what follows a sized symbol, its padding,
// belongs to nobody. That reach is
// a guess, as the symbols of local functions may be gone: eu-addr2line,
// llvm-symbolizer and GDB make the same one. Sizeless tells, so that callers
// ask the code and its call frame information whether an address can be the
// function's: package symbolize does.
//
// Ties. Of several symbols with the same start that all cover an address,
// functions come before objects, objects before symbols without a type; then
// exported ones (global, unique or weak) before local ones; then glibc's internal
// aliases (__GI_*) come last; then the name with the fewest leading underscores is
// first, where those of the gate DSO's __vdso_ and __kernel_ do not count; then
// global before weak; then the shortest; then the first in the table. At most 256
// bytes of a name count. Global comes before weak in every case but one: libraries define a function under a reserved name, __fork, and export the
// name that people know, fork, as a weak alias of it.
//
// Names. A version (@VER, @@VER) is not part of the name. Suffixes that
// compilers add, .cold, .part.0, .abi0, are. A name is cut at 1 MiB.
package elfsym
