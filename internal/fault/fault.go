// Package fault says why a thread died: from the signal, what the kernel told
// with it, the registers, the mappings and the code at the pc. It is pure: no
// process, no file. It serves a process that is dying, a core file, and the
// kernel's core dump handler alike; render prints what it finds.
package fault

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/maps"
)

// Death is what is known of a thread that died of a signal, or is about to.
// Only Signo is needed: everything else may be missing.
type Death struct {
	PID   int // its process: to tell a signal that it sent itself
	Signo int
	Info  *Siginfo
	Arch  *arch.Arch // nil for a CPU that bt does not unwind
	Regs  *arch.Regs
	Maps  *maps.Map

	// Code are bytes of the process's memory around the pc, as ReadCode
	// reads them, and CodeAddr is where they begin.
	Code     []byte
	CodeAddr uint64
}

// Cause is why the thread died.
type Cause struct {
	Signo int
	Info  *Siginfo   // nil if not known
	Self  bool       // the process sent the signal itself
	Arch  *arch.Arch // nil if not known
	Regs  *arch.Regs // nil if not known

	PC    uint64 // valid with HasPC
	HasPC bool

	// Addr is the address whose use was the fault, valid with HasAddr. It is
	// the kernel's, or, where that gives none, the one that the instruction
	// has in a register and that no instruction may use.
	Addr    uint64
	HasAddr bool
	Place   Place

	Hints []Hint

	// Insn is the instruction that was the fault, at InsnAddr; its Size is 0
	// where that is not known. Code are the bytes around it, from CodeAddr.
	Insn     arch.Instruction
	InsnAddr uint64
	Code     []byte
	CodeAddr uint64
}

// Place tells where Cause.Addr lies.
type Place struct {
	Known bool // there were maps to look at
	// Mapping holds the address. If it is nil, nothing is mapped there.
	Mapping *maps.Mapping
	// Below and Above are the nearest mappings to an unmapped address; nil
	// where there is none.
	Below, Above *maps.Mapping
}

// Hint is what the facts together mean to a person.
type Hint uint8

const (
	// NullPointer: the address is that of a null pointer or so near to one
	// that it is a member of what a null pointer should point to.
	NullPointer Hint = iota + 1
	// NullCall: a null pointer was called.
	NullCall
	// BadJump: the pc lies where no code is.
	BadJump
	// StackOverflow: the address lies below the stack, near the stack pointer.
	StackOverflow
	// NotCanonical: no memory can be at the address, the CPU refuses it
	// without looking.
	NotCanonical
	// Misaligned: the address is no multiple of the operand's size, which the
	// instruction demands.
	Misaligned
	// Protection: a general protection fault, for which the kernel gives no
	// address.
	Protection
	// WriteRefused: the mapping can be read but not written.
	WriteRefused
	// KernelAddress: the address is in the kernel's half.
	KernelAddress
	// PastEOF: the mapping reaches beyond the end of its file.
	PastEOF
	// Tagged: the pointer has another tag than the memory.
	Tagged
	// TaggedEarlier: an access before, which is not known, was by such a pointer.
	TaggedEarlier
	// NoLandingPad: a branch to an address from a register led to an instruction
	// that marks no place to go to.
	NoLandingPad
	// NotAuthentic: the signature of a signed address is wrong.
	NotAuthentic
)

var hints = [...]string{
	NullPointer:   "a null pointer",
	NullCall:      "a null pointer was called",
	BadJump:       "the program jumped there",
	StackOverflow: "a stack overflow",
	NotCanonical:  "the address is not canonical",
	Misaligned:    "the address is not aligned",
	Protection:    "a general protection fault",
	WriteRefused:  "a write",
	KernelAddress: "an address of the kernel",
	PastEOF:       "beyond the end of the file",
	Tagged:        "the pointer's tag is not the memory's",
	TaggedEarlier: "the tag of a pointer used before was not the memory's",
	NoLandingPad:  "the program jumped to what is no landing pad",
	NotAuthentic:  "pointer authentication failed",
}

// String returns the hint for people.
func (h Hint) String() string {
	if int(h) < len(hints) {
		return hints[h]
	}
	return ""
}

const (
	// nullPage is below what mmap gives anybody (vm.mmap_min_addr's default).
	nullPage = 64 << 10
	// A stack overflow's access is near the stack pointer, and not farther
	// below the stack than one frame.
	nearStack = 1 << 20

	beforePC, afterPC = 24, 24
)

// ReadCode reads the bytes around pc that Explain wants, as far as memory is
// there. read is as Process.ReadMemory: it returns how many bytes it read.
func ReadCode(read func(addr uint64, b []byte) (int, error), pc uint64) (code []byte, start uint64) {
	b := make([]byte, beforePC+afterPC)
	n, _ := read(pc, b[beforePC:])
	n = max(0, min(n, afterPC))
	// Memory can begin with the pc's page.
	for _, before := range []uint64{min(beforePC, pc), min(beforePC, pc&0xfff)} {
		if k, _ := read(pc-before, b[beforePC-before:beforePC]); k == int(before) {
			return b[beforePC-before : beforePC+n], pc - before
		}
	}
	return b[beforePC : beforePC+n], pc
}

// Explain finds out why the thread died. What d points to is shared with the
// Cause.
func Explain(d Death) Cause {
	c := Cause{Signo: d.Signo, Info: d.Info, Arch: d.Arch, Regs: d.Regs}
	if d.Info != nil {
		c.Self = d.Info.HasSender && d.Info.Sender == d.PID && d.PID != 0
		c.Addr, c.HasAddr = d.Info.Addr, d.Info.HasAddr
	}
	if d.Arch != nil && d.Regs != nil {
		c.PC, c.HasPC = d.Regs.Get(d.Arch.PC)
	}
	if d.Info == nil || !d.Info.synchronous() {
		return c
	}
	if d.Arch != nil && d.Arch.Traps.Untag != nil {
		c.Addr = d.Arch.Traps.Untag(c.Addr)
	}
	if c.late() {
		c.Hints = []Hint{TaggedEarlier}
		c.HasAddr = false
		return c
	}
	c.instruction(&d)
	c.hints(&d)
	if c.HasAddr && d.Maps != nil {
		c.Place = locate(d.Maps, c.Addr)
	}
	return c
}

// late reports whether the signal is about an access of some earlier instruction,
// whose address the kernel does not know.
func (c *Cause) late() bool { return c.Signo == sigSEGV && c.Info.Code == segvMTEAERR }

// locate finds what is at addr.
func locate(m *maps.Map, addr uint64) Place {
	p := Place{Known: true, Mapping: m.Find(addr)}
	if p.Mapping != nil {
		return p
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.End <= addr && (p.Below == nil || e.End > p.Below.End) {
			p.Below = e
		}
		if e.Start > addr && (p.Above == nil || e.Start < p.Above.Start) {
			p.Above = e
		}
	}
	return p
}

// UsesAddr reports whether Addr is that of an access to memory. For the other
// signals with an address it is that of the instruction.
func (c *Cause) UsesAddr() bool { return c.Signo == sigSEGV || c.Signo == sigBUS }
