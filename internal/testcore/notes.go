package testcore

import (
	"bytes"
)

// Thread is a thread for Core.Thread.
type Thread struct {
	TID    int
	Signal int
	// Regs is the register set, words of WordSize bytes, by index. WordSize
	// 0 is that of an address.
	Regs     map[int]uint64
	Words    int // in the set
	WordSize int
}

// Thread returns a thread's NT_PRSTATUS note: struct elf_prstatus, with the
// register set at the offset given.
func (c *Core) Thread(t Thread, pidAt, regsAt int) Note {
	c.defaults()
	size := t.WordSize
	if size == 0 {
		size = 4
		if c.is64() {
			size = 8
		}
	}
	desc := make([]byte, regsAt+t.Words*size+4)
	if c.is64() {
		desc = append(desc, make([]byte, 4)...)
	}
	c.Order.PutUint16(desc[12:], uint16(t.Signal))
	c.Order.PutUint32(desc[pidAt:], uint32(t.TID))
	for i, v := range t.Regs {
		if size == 8 {
			c.Order.PutUint64(desc[regsAt+8*i:], v)
		} else {
			c.Order.PutUint32(desc[regsAt+4*i:], uint32(v))
		}
	}
	return Note{Type: PRStatus, Desc: desc}
}

// AMD64 returns the NT_PRSTATUS note of a thread of x86-64.
func (c *Core) AMD64(tid, signal int, pc, sp uint64) Note {
	return c.Thread(Thread{TID: tid, Signal: signal, Words: 27, Regs: map[int]uint64{16: pc, 19: sp}}, 32, 112)
}

// Process returns an NT_PRPSINFO note of a 64-bit process.
func (c *Core) Process(pid int, comm, args string) Note {
	c.defaults()
	desc := make([]byte, 136)
	c.Order.PutUint32(desc[24:], uint32(pid))
	copy(desc[40:55], comm)
	copy(desc[56:135], args)
	return Note{Type: PRPSInfo, Desc: desc}
}

// Auxv returns an NT_AUXV note of pairs.
func (c *Core) Auxv(pairs ...uint64) Note {
	c.defaults()
	var w bytes.Buffer
	for _, v := range append(pairs, 0, 0) {
		c.word(&w, v)
	}
	return Note{Type: Auxv, Desc: w.Bytes()}
}

// Mapped is an entry of an NT_FILE note. Offset is in bytes.
type Mapped struct {
	Start, End, Offset uint64
	Path               string
}

// Files returns an NT_FILE note.
func (c *Core) Files(list ...Mapped) Note {
	c.defaults()
	var w bytes.Buffer
	c.word(&w, uint64(len(list)))
	c.word(&w, page)
	for _, m := range list {
		c.word(&w, m.Start)
		c.word(&w, m.End)
		c.word(&w, m.Offset/page)
	}
	for _, m := range list {
		w.WriteString(m.Path + "\x00")
	}
	return Note{Type: File, Desc: w.Bytes()}
}
