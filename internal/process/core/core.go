// Package core reads ELF core files: of the Linux kernel, of gdb's gcore and of
// qemu's user mode, of every machine and byte order. It gives the threads with
// their registers, why the process died, what was mapped where, and the memory
// that the core holds.
//
// A core on disk is mapped and used in place. One that comes through a pipe, or
// is compressed, is read once from front to back, and of its memory only what
// stacks and names take is kept.
package core

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/internal/process"
)

// File is a core file. Its methods are safe for concurrent use, but for Close.
type File struct {
	Machine elf.Machine
	Class   elf.Class
	Order   binary.ByteOrder
	Flags   uint32 // e_flags

	PID  int    // of the process; 0 if no note tells
	UID  int    // its real user ID; valid with Comm
	Comm string // its command name, at most 15 bytes; empty if no note tells
	Args string // the start of its command line, blanks between the arguments

	// Threads are the process's threads. The one that died is the first.
	Threads []Thread
	// Auxv is the auxiliary vector by type (AT_*); nil if there is none.
	Auxv map[uint64]uint64
	// Files are the mapped files, ascending; nil if the core has no NT_FILE
	// note, until FindFiles has found them.
	Files []FileMapping
	// Segments are what the process had mapped, ascending. Some writers leave
	// out mappings that a file holds.
	Segments []Segment

	// Missing is by how many bytes the file is shorter than its headers say.
	Missing uint64
	// Partial says that the core was read as a stream, and that memory which
	// it holds was not kept.
	Partial bool
	// Problems are what could not be read of the file, for people.
	Problems []string

	mem   []piece
	close func() error
}

// Thread is a thread as it was when the process died.
type Thread struct {
	process.Thread

	// PC and SP are known for machines that bt does not unwind, too; valid
	// with HasPC.
	PC, SP uint64
	HasPC  bool

	Signal int // the signal that stopped it (pr_cursig); 0: none
	// Siginfo is the signal's siginfo_t, in the core's byte order and the
	// layout of most machines: signo, errno, code. Nil if the core has none.
	Siginfo []byte
}

// FileMapping says what file was mapped where.
type FileMapping struct {
	Start, End uint64
	Offset     uint64 // of Start in the file, in bytes
	Path       string
}

// Segment is a PT_LOAD program header.
type Segment struct {
	Start, End uint64
	Filesz     uint64 // bytes of it that the core says it holds, from Start on
	Flags      elf.ProgFlag
	off        uint64
}

// Close releases the file. Nothing that a method returned may be used after it.
func (f *File) Close() error {
	f.mem = nil
	if f.close == nil {
		return nil
	}
	err := f.close()
	f.close = nil
	return err
}
