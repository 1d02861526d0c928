// Package annotate copies any text through and names the addresses that it finds
// in it: the name is put behind the last digit of the address, as bt prints
// names, ` <symbol+0xoffset>`, and nothing else of the text changes.
//
// # What is an address
//
// A word of hexadecimal digits, at most 16, that stands by itself: no letter,
// digit or '_' touches it, no sign ('+' and '-' make offsets and ranges), and no
// '.' that is followed by a letter or digit. It has the prefix 0x; or it has
// none and is as wide as addresses are printed, 12 or 16 digits, or 8 for a
// 32-bit target, its letters in one case, and touches no '/', '\', '%', '$' or
// '@' either. So decimal numbers below a hundred billion, UUIDs, hashes and their
// short forms are no addresses. Fewer digits without a prefix, six at least, are
// taken only where a form below says what they are.
//
// Such a word is named when it lies in executable memory of the target and a
// symbol covers it. A name that follows already (`<main+0x4>`) is left, as is a
// line of a maps file.
//
// # Forms
//
// Some lines say more of an address than its value: its module, its place in
// it, or that it is a return address, which is looked up one byte earlier. All
// may be preceded by what a logger puts before them, and be coloured by ECMA-48
// sequences. N is a decimal, X a hexadecimal number; names that the text has
// already are left, where the table says so.
//
//	gdb          #N  0xX in ?? () from PATH        N = 0 and the frame that a signal interrupted: exact; else return
//	eu-stack     #N  0xX [- 1] [- PATH]            the same
//	systemd      #N  0xX n/a (MODULE + 0xX)        the same; the offset is from the start of the first segment
//	sanitizers     #N 0xX (PATH+0xX) (BuildId: X)  exact: already one less; the offset is a link-time address
//	Chromium     #N 0xX (PATH+0xX), #N 0xX <unknown>   as gdb's
//	Android      #NN pc X  PATH (BuildId: X)       link-time address, exact: already corrected
//	glibc        PATH(+0xX) [0xX], PATH(NAME+0xX)[0xX], PATH() [0xX], [0xX]   return; the offset is a link-time address; also if named
//	Python       Binary file "PATH", at +0xX [0xX] return; the offset is from the start of the first segment
//	Rust         N: 0xX - <unknown>                return
//	glog, Abseil @ 0xX (unknown)                   return; exact behind PC:
//	valgrind     at 0xX: ???, by 0xX: ???          exact: already one less
//	perf script  X [unknown] (PATH)                the first of several lines: exact; else return; see below
//	Java         C  [MODULE+0xX]                   the first of several lines, and behind #: exact; else return; from the first segment
//	kernel       ip X … in MODULE[X+X]             exact; see below
//	kernel 6.x   ip X … in MODULE[X,X+X]           exact; see below
//	bt           X at the start of a line          as bt itself reads it, below # thread and # signal
//	any          (MODULE+0xX), PATH+0xX            a link-time address, exact
//
// Perf 5.9 and newer print the offset in the file instead of the address: where
// both can be meant there is no name. Numbers with fewer than six digits are
// not found in this form.
//
// Everything else is exact (`pc=0xX` in Go's panics); Options.ReturnAddresses
// changes that. A Go traceback is named by Go.
//
// A return address that is the start of a signal trampoline is that of the
// trampoline, and the frame behind it is exact.
//
// The kernel gives the mapping of the instruction pointer, start+size, and its
// file by its last name only. Newer kernels add the file offset of the
// instruction pointer, behind which is the mapping's; older ones do not, and it
// is that of the executable segment. The mapping must have the size of an
// executable segment of the file, or the file is another build and names
// nothing. Mappings that were split since (mprotect) have no name, then.
//
// # Whose names
//
// With a target, its files alone are used: an address by its mapping, unless the
// text says that it is in another file; else by module and offset, the module by
// its path, or its last name where only one file of the target has it. With an
// ELF file as the target numbers are its link-time addresses, as without filtering;
// and the forms are named whose module has its name.
//
// Without a target, lines of /proc/PID/maps in the text become the target for
// what follows them, up to the next such lines. Before, forms with an absolute
// path are named from that file. Such a path may come from an attacker: it is
// opened only if it is a regular file, below the sysroot if there is one, and
// nothing of it shows but the names of its symbols; the number of files that are
// open at a time is bounded. Relative paths are not opened, and modules by name
// are searched for nowhere.
//
// A build ID that the text gives must be that of the file.
//
// # Bounds
//
// Memory is constant: lines longer than a megabyte are passed through without
// names, and what a form says of an address is looked for within 1000 bytes of
// it. Nothing is malformed.
package annotate
