package gopcln

import "bytes"

// Func is one function of a table, at link-time addresses. It refers to the
// table's bytes.
type Func struct {
	// Entry is the function's first pc, and End the next function's. What
	// lies between CodeEnd and End is padding.
	Entry, End uint64

	t   *Table
	rec []byte // its record, from the name's offset on
}

// maxName bounds the length of a name.
const maxName = 1 << 16

// NameBytes returns the name as the runtime prints it. The symbol table's name
// of the function adds ".abi0" where there is a second function of that name,
// has the type arguments where this has "[...]", and "." for "·". The bytes are
// the table's memory; they are nil when the record is damaged.
func (f Func) NameBytes() []byte {
	return cstring(f.t.names, f.t.uint(f.rec[nameField:], 4))
}

// cstring returns the string at off, nil if there is none.
func cstring(b []byte, off uint64) []byte {
	if off >= uint64(len(b)) {
		return nil
	}
	b = b[off:min(off+maxName, uint64(len(b)))]
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		return nil
	}
	return b[:n]
}

// Name returns NameBytes as a string.
func (f Func) Name() string { return string(f.NameBytes()) }

// Flags are the bits that the linker sets since Go 1.17 (abi.FuncFlag).
type Flags uint8

const (
	TopFrame Flags = 1 << iota // outermost, as the runtime sees it: goexit, mstart, but sigtramp as well
	SPWrite                    // moves another value into SP, which SPDelta cannot tell
	Asm                        // written in assembly
)

// Flags returns the function's flags; none before Go 1.17.
func (f Func) Flags() Flags {
	if f.t.version == go12 {
		return 0 // the byte belongs to other fields
	}
	return Flags(f.rec[len(f.rec)-3])
}

// ID returns abi.FuncID, whose numbers change from one Go to the next; 0, which is none,
// before Go 1.16.
func (f Func) ID() uint8 {
	if f.t.version == go12 {
		return 0
	}
	return f.rec[len(f.rec)-4]
}

// SPDelta returns how many bytes the stack pointer is below the slot of the
// return address at pc, before the instruction there is executed: the return
// address is at SP+delta on x86, and the CFA one address further. It reports
// false when the function has no such table (it is no Go code), when pc is
// outside its code, and when the table is damaged.
//
// Where the function switches stacks (see Kind) the delta is that of the
// stack that it was entered on.
func (f Func) SPDelta(pc uint64) (delta int64, ok bool) {
	if pc < f.Entry || pc >= f.End {
		return 0, false
	}
	w := f.walk()
	for w.next() {
		if pc < w.pc {
			return int64(w.val), true
		}
	}
	return 0, false
}

// CodeEnd returns the address behind the function's last instruction. Without
// a table of SP deltas it is End.
func (f Func) CodeEnd() uint64 {
	w := f.walk()
	end := f.End
	for w.next() {
		end = w.pc
	}
	return end
}

// values walks a pc-value table: pairs of the difference of the value, as a
// zigzag varint, and of the pc up to which it holds, as a varint; a
// difference of 0 that is not the first ends it.
type values struct {
	b       []byte
	val     int32
	pc      uint64 // val holds below this
	end     uint64
	quantum uint64
	left    int // pairs, at most
}

// maxPairs bounds a table: one pair for each change of the value.
const maxPairs = 1 << 20

func (f Func) walk() values { return f.walkAt(f.field(pcspField)) }

// walkAt walks the table at off; 0 is none.
func (f Func) walkAt(off uint32) values {
	w := values{val: -1, pc: f.Entry, end: f.End, quantum: f.t.quantum, left: maxPairs}
	if off != 0 && uint64(off) < uint64(len(f.t.values)) {
		w.b = f.t.values[off:]
	}
	return w
}

// next goes to the next pair and reports whether there is one.
func (w *values) next() bool {
	if len(w.b) == 0 || w.left == 0 {
		return false
	}
	diff, ok := w.uvarint()
	if !ok || diff == 0 && w.left != maxPairs {
		return false
	}
	w.left--
	step, ok := w.uvarint()
	if !ok || step == 0 || uint64(step)*w.quantum > w.end-w.pc {
		return false
	}
	w.val += int32(diff>>1) ^ -int32(diff&1)
	w.pc += uint64(step) * w.quantum
	return true
}

func (w *values) uvarint() (v uint32, ok bool) {
	for i, shift := 0, 0; i < len(w.b) && shift < 35; i, shift = i+1, shift+7 {
		c := w.b[i]
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			w.b = w.b[i+1:]
			return v, true
		}
	}
	return 0, false
}
