package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/gatedso/bt/internal/arch/all"
)

// The notes that are read (include/uapi/linux/elf.h), all of owner "CORE". Register
// sets beyond the general one are of owner "LINUX".
const (
	ntPRStatus = 1
	ntPRPSInfo = 3
	ntAuxv     = 6
	ntSiginfo  = 0x53494749
	ntFile     = 0x46494c45
)

// Auxiliary vector entries (include/uapi/linux/auxvec.h).
const (
	atPhdr        = 3
	atPhent       = 4
	atPhnum       = 5
	atPagesz      = 6
	atBase        = 7
	atEntry       = 9
	atRandom      = 25
	atExecfn      = 31
	atSysinfoEhdr = 33
)

const sigKILL = 9

// noteHeader is the size of Elf32_Nhdr and Elf64_Nhdr alike.
const noteHeader = 12

// wanted reports whether a note is read at all: of a core with many threads
// most bytes are vector registers.
func (f *File) wanted(typ uint32) bool {
	switch typ {
	case ntPRStatus, ntPRPSInfo, ntAuxv, ntSiginfo, ntFile:
		return true
	}
	return f.isRegset(typ)
}

// notes reads the notes of one segment as far as they reach, and reports
// whether none is cut short.
func (f *File) notes(h *header, b []byte) (whole bool) {
	// Making room step by step would take three times the memory.
	threads := 0
	eachNote(h, b, func(owner []byte, typ uint32, _ []byte) {
		if typ == ntPRStatus && isCore(owner) {
			threads++
		}
	})
	if threads > 0 {
		f.Threads = slices.Grow(f.Threads, threads)
	}
	return eachNote(h, b, func(owner []byte, typ uint32, desc []byte) {
		if f.wanted(typ) {
			f.owned(h, owner, typ, desc)
		}
	})
}

// padding is the longest run of zeros that may end the notes without anything
// being amiss. Longer ones are the hole of a sparse file, say, of any size.
const padding = 4096

// eachNote calls found for the notes, as far as they reach, and reports whether none
// is cut short.
func eachNote(h *header, b []byte, found func(owner []byte, typ uint32, desc []byte)) (whole bool) {
	for len(b) >= noteHeader {
		namesz, descsz := uint64(h.order.Uint32(b)), uint64(h.order.Uint32(b[4:]))
		typ := h.order.Uint32(b[8:])
		b = b[noteHeader:]
		if namesz == 0 && descsz == 0 && typ == 0 {
			return len(b) < padding
		}
		// Names and descriptors are padded to 4 bytes, in 64-bit cores, too.
		if align4(namesz) > uint64(len(b)) {
			return false
		}
		name := b[:namesz]
		b = b[align4(namesz):]
		if descsz > uint64(len(b)) {
			return false
		}
		found(name, typ, b[:descsz])
		b = b[min(align4(descsz), uint64(len(b))):]
	}
	return true
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }

// isCore reports whether a note is of the owner of most that are read.
func isCore(owner []byte) bool { return string(owner) == "CORE\x00" || string(owner) == "CORE" }

// longestOwner bounds the names of notes that are read, with their padding.
const longestOwner = 8

// owned reads a note, if its owner is one whose types are known here. It reports
// whether it did.
func (f *File) owned(h *header, owner []byte, typ uint32, desc []byte) bool {
	switch {
	case isCore(owner):
		f.note(h, typ, desc)
	case string(owner) == "LINUX\x00":
		f.regset(h, typ, desc)
	default:
		return false
	}
	return true
}

func (f *File) note(h *header, typ uint32, desc []byte) {
	switch typ {
	case ntPRStatus:
		f.prstatus(h, desc)
	case ntPRPSInfo:
		f.prpsinfo(h, desc)
	case ntAuxv:
		f.auxv(h, desc)
	case ntSiginfo:
		// The kernel writes the one of the thread that died, behind that
		// thread's registers; gdb each thread's own behind its registers.
		if n := len(f.Threads); n > 0 && f.Threads[n-1].Siginfo == nil && len(desc) >= 12 {
			info := bytes.Clone(desc)
			if h.abi().SwappedSiginfo {
				copy(info[4:8], desc[8:12])
				copy(info[8:12], desc[4:8])
			}
			f.Threads[n-1].Siginfo = info
		}
	case ntFile:
		f.mapped(h, desc)
	}
}

func (f *File) problem(format string, args ...any) {
	const most = 20
	if len(f.Problems) < most {
		f.Problems = append(f.Problems, fmt.Sprintf(format, args...))
	}
}

// prstatus reads a thread: struct elf_prstatus.
func (f *File) prstatus(h *header, b []byte) {
	abi := h.abi()
	at := abi.PRStatus
	if len(b) < at.Regset {
		f.problem("a thread's NT_PRSTATUS note is cut short: %d bytes", len(b))
		return
	}
	var t Thread
	t.Signal = int(h.order.Uint16(b[12:]))
	t.TID = int(int32(h.order.Uint32(b[at.PID:])))
	// That of a 32-bit process holds half of the signals.
	if h.word() == 8 {
		t.Blocked, t.HasBlocked = h.order.Uint64(b[24:]), true
		if t.Blocked == 0 {
			// gdb and qemu leave it empty. With this signal alone, which
			// nobody can block, no signal is taken for the one that a
			// frame's siginfo holds by chance.
			t.Blocked = 1 << (sigKILL - 1)
		}
	}
	set := b[at.Regset:]
	if word := abi.Regset.Word; word > 0 && len(set) >= 4 {
		// pr_fpvalid, an int, follows, and padding.
		set = set[:(len(set)-4)/word*word]
	}
	t.PC, t.HasPC = word(h.order, set, abi.Regset.Word, abi.Regset.PC)
	if mask := abi.Regset.PCMask; mask != 0 {
		t.PC &= mask
	}
	t.SP, _ = word(h.order, set, abi.Regset.Word, abi.Regset.SP)
	if a := all.For(h.machine, h.class); a != nil && h.order == binary.ByteOrder(binary.LittleEndian) {
		t.Arch = a
		t.Regs, t.HasRegs = a.DecodeRegset(set)
		if a.Syscalls.Asleep != nil {
			t.Call, t.HasCall = a.Syscalls.Asleep(set)
		}
		if a.TLSBase != nil {
			t.TLS, _ = a.TLSBase(set)
		}
	}
	if !t.HasPC {
		f.problem("thread %d: the register set of %s is not known: %d bytes", t.TID, abi.Name, len(set))
	}
	f.Threads = append(f.Threads, t)
}

// isRegset reports whether typ is that of a register set, beyond the general one,
// that is of use for the last thread.
func (f *File) isRegset(typ uint32) bool {
	if len(f.Threads) == 0 || typ == 0 {
		return false
	}
	a := f.Threads[len(f.Threads)-1].Arch
	return a != nil && (typ == a.TLSRegset || typ == a.PACRegset)
}

// regset reads another register set of the last thread.
func (f *File) regset(h *header, typ uint32, b []byte) {
	if !f.isRegset(typ) {
		return
	}
	t := &f.Threads[len(f.Threads)-1]
	switch size := t.Arch.PtrSize; typ {
	case t.Arch.TLSRegset:
		t.TLS, _ = word(h.order, b, size, 0)
	case t.Arch.PACRegset:
		t.PACMask, _ = word(h.order, b, size, 1)
	}
}

// word returns word i of a register set, whose words have size bytes.
func word(order binary.ByteOrder, set []byte, size, i int) (uint64, bool) {
	if size == 0 || len(set) < (i+1)*size {
		return 0, false
	}
	if size == 8 {
		return order.Uint64(set[8*i:]), true
	}
	return uint64(order.Uint32(set[4*i:])), true
}

// prpsinfo reads the process: struct elf_prpsinfo. Its size tells its layout:
// a flag of one word follows four bytes, then the user and group, which some
// 32-bit machines have in 16 bits, then four pid_t.
func (f *File) prpsinfo(h *header, b []byte) {
	var uid, pid, name int
	switch {
	case len(b) >= 136 && h.class == elf.ELFCLASS64:
		uid, pid, name = 16, 24, 40
	case len(b) >= 128 && h.class == elf.ELFCLASS32:
		uid, pid, name = 8, 16, 32
	case len(b) >= 124 && h.class == elf.ELFCLASS32:
		uid, pid, name = 8, 12, 28
	default:
		f.problem("the NT_PRPSINFO note is cut short: %d bytes", len(b))
		return
	}
	f.UID = int(h.order.Uint32(b[uid:]))
	if pid-uid == 4 {
		f.UID = int(h.order.Uint16(b[uid:]))
	}
	f.PID = int(int32(h.order.Uint32(b[pid:])))
	f.Comm = cString(b[name : name+16])
	f.Args = string(bytes.TrimRight([]byte(cString(b[name+16:name+16+80])), " "))
}

// cString is the text before the first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

func (h *header) addr(b []byte) uint64 {
	if h.class == elf.ELFCLASS64 {
		return h.order.Uint64(b)
	}
	return uint64(h.order.Uint32(b))
}

// auxv reads the auxiliary vector: pairs of words, ended by AT_NULL.
func (f *File) auxv(h *header, b []byte) {
	f.Auxv = make(map[uint64]uint64)
	w := h.word()
	for ; len(b) >= 2*w; b = b[2*w:] {
		typ := h.addr(b)
		if typ == 0 {
			return
		}
		if _, ok := f.Auxv[typ]; !ok {
			f.Auxv[typ] = h.addr(b[w:])
		}
	}
}

// maxFiles bounds the mapped files: twice what a process can map by default
// (sysctl vm.max_map_count). Each costs half a KiB in the end.
const maxFiles = 128 << 10

// mapped reads NT_FILE: a count, the unit of offsets, that many triples of
// start, end and offset, and as many names (fs/binfmt_elf.c, fill_files_note).
func (f *File) mapped(h *header, b []byte) {
	w := h.word()
	if len(b) < 2*w {
		f.problem("the NT_FILE note is cut short: %d bytes", len(b))
		return
	}
	count, unit := h.addr(b), h.addr(b[w:])
	b = b[2*w:]
	if count > uint64(len(b)/(3*w)) {
		f.problem("the NT_FILE note is damaged: %d files in %d bytes", count, len(b))
		return
	}
	names := b[3*w*int(count):]
	if count > maxFiles {
		f.problem("it lists %d mapped files, of which the first %d are used", count, maxFiles)
		count = maxFiles
	}
	f.Files = make([]FileMapping, 0, count)
	for ; count > 0; count-- {
		m := FileMapping{Start: h.addr(b), End: h.addr(b[w:]), Offset: h.addr(b[2*w:]) * unit}
		b = b[3*w:]
		end := bytes.IndexByte(names, 0)
		if end < 0 {
			f.problem("the NT_FILE note is damaged: it lacks names")
			return
		}
		m.Path = string(names[:end])
		names = names[end+1:]
		if m.Start < m.End {
			f.Files = append(f.Files, m)
		}
	}
}
