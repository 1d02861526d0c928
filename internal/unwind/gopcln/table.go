// Package gopcln reads runtime.pclntab, the table by which Go programs find
// their own functions. Every Go program has it, also when it is stripped, and
// it tells what unwinding and naming need: where each function starts, its
// name, and how far the stack pointer is from the return address at each pc.
//
// Everything is read in place; opening a table costs the same whatever its
// size. debug/gosym, which reads it too, builds a list of all functions and
// leaves out the frame sizes.
//
// The layouts are those of cmd/link/internal/ld/pcln.go and runtime/symtab.go
// of Go 1.2, 1.16, 1.18 and 1.20; the last is still that of Go 1.26.
package gopcln

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// version is a layout of the table, named after the first Go with it.
type version uint8

const (
	go12  version = iota // offsets from the table's start, absolute pcs
	go116                // separate tables for names, pc values and functions
	go118                // pcs are 32-bit offsets from runtime.text
	go120                // a function's record has a start line
)

// Table is an opened pclntab. It keeps the bytes it was given and does not
// change; any number of goroutines may use it.
type Table struct {
	version version
	big     bool
	ptrSize int
	quantum uint64 // bytes of the smallest instruction
	text    uint64 // address of runtime.text; 0 where pcs are absolute

	nfunc int
	pcs   []byte // nfunc times (pc, offset of the record), and the last pc
	width int    // bytes of each of these numbers

	funcs  []byte // what the records' offsets are relative to
	names  []byte
	values []byte // pc-value tables
	cus    []byte // offsets in files, by compilation unit; since Go 1.16
	files  []byte // source files
}

// ErrNoText means that the address of runtime.text is in no header: always so
// since Go 1.26, and in a position-independent program until it is loaded.
// LocateText finds it.
var ErrNoText = errors.New("pclntab does not tell the address of runtime.text")

var errNoTable = errors.New("no pclntab")

// New opens the table that data starts with: the bytes of section .gopclntab,
// or those from where Find finds it. What follows the table does no harm.
//
// text is the link-time address of runtime.text, to which pcs are relative
// since Go 1.18; 0 means the one in the table's header, and ErrNoText is
// returned when that is 0 too. Older tables hold absolute pcs, and text is
// ignored; those of a position-independent program are zero until it is
// loaded, which is an error, and run-time addresses after.
func New(data []byte, text uint64) (*Table, error) {
	t, err := open(data)
	if err != nil {
		return nil, err
	}
	if t.version >= go118 {
		if text != 0 {
			t.text = text
		}
		if t.text == 0 {
			return nil, ErrNoText
		}
	} else if t.nfunc > 0 && t.pc(0) == 0 && t.pc(t.nfunc) == 0 {
		return nil, errors.New("pclntab's addresses have not been relocated")
	}
	return t, nil
}

// open reads the header. The text start is left as the header has it.
func open(data []byte) (*Table, error) {
	t := &Table{}
	if len(data) < 8 || data[4] != 0 || data[5] != 0 {
		return nil, errNoTable
	}
	magic := binary.LittleEndian.Uint32(data)
	if data[0] == 0xff {
		t.big = true
		magic = binary.BigEndian.Uint32(data)
	}
	switch magic {
	case 0xfffffffb:
		t.version = go12
	case 0xfffffffa:
		t.version = go116
	case 0xfffffff0:
		t.version = go118
	case 0xfffffff1:
		t.version = go120
	default:
		return nil, errNoTable
	}
	t.quantum = uint64(data[6])
	if t.quantum != 1 && t.quantum != 2 && t.quantum != 4 {
		return nil, fmt.Errorf("pclntab: instruction quantum of %d bytes", t.quantum)
	}
	t.ptrSize = int(data[7])
	if t.ptrSize != 4 && t.ptrSize != 8 {
		return nil, fmt.Errorf("pclntab: pointers of %d bytes", t.ptrSize)
	}

	// The header's fields behind the first eight bytes are words.
	short := false
	word := func(i int) uint64 {
		at := 8 + i*t.ptrSize
		if at+t.ptrSize > len(data) {
			short = true
			return 0
		}
		return t.uint(data[at:], t.ptrSize)
	}
	part := func(i int) []byte {
		if off := word(i); off <= uint64(len(data)) {
			return data[off:]
		}
		short = true
		return nil
	}
	nfunc := word(0)
	t.width = t.ptrSize
	switch t.version {
	case go12:
		t.funcs, t.names, t.values = data, data, data
		if n := 8 + t.ptrSize; n <= len(data) {
			t.pcs = data[n:]
		}
	case go116:
		t.names, t.cus, t.files, t.values, t.funcs = part(2), part(3), part(4), part(5), part(6)
		t.pcs = t.funcs
	default:
		t.text = word(2)
		t.names, t.cus, t.files, t.values, t.funcs = part(3), part(4), part(5), part(6), part(7)
		t.pcs = t.funcs
		t.width = 4
	}
	w := uint64(t.width)
	if short || uint64(len(t.pcs)) < w || nfunc > (uint64(len(t.pcs))-w)/(2*w) {
		return nil, fmt.Errorf("pclntab of %d bytes is cut short", len(data))
	}
	t.nfunc = int(nfunc)
	t.pcs = t.pcs[:(nfunc*2+1)*w]
	return t, nil
}

// Text returns the address of runtime.text that pcs are relative to, or 0
// where they are absolute.
func (t *Table) Text() uint64 { return t.text }

// PtrSize returns the size of an address in bytes.
func (t *Table) PtrSize() int { return t.ptrSize }

// Len returns the number of functions.
func (t *Table) Len() int { return t.nfunc }

// Range returns the addresses that the table covers.
func (t *Table) Range() (start, end uint64) {
	return t.text + t.pc(0), t.text + t.pc(t.nfunc)
}

// Func finds the function whose code holds pc, a link-time address. A return
// address is to be looked up one byte earlier.
func (t *Table) Func(pc uint64) (Func, bool) {
	pc -= t.text
	if t.nfunc == 0 || pc < t.pc(0) || pc >= t.pc(t.nfunc) {
		return Func{}, false
	}
	// Invariant: pc(lo) <= pc < pc(hi).
	lo, hi := 0, t.nfunc
	if t.width == 4 && !t.big {
		for hi-lo > 1 {
			mid := int(uint(lo+hi) / 2)
			if uint64(binary.LittleEndian.Uint32(t.pcs[mid*8:])) <= pc {
				lo = mid
			} else {
				hi = mid
			}
		}
	} else {
		for hi-lo > 1 {
			mid := int(uint(lo+hi) / 2)
			if t.pc(mid) <= pc {
				lo = mid
			} else {
				hi = mid
			}
		}
	}
	return t.At(lo)
}

// At returns the i-th function in the order of addresses, 0 ≤ i < Len. It
// reports false when the function's record is damaged.
func (t *Table) At(i int) (Func, bool) {
	if i < 0 || i >= t.nfunc {
		return Func{}, false
	}
	off := t.uint(t.pcs[(2*i+1)*t.width:], t.width)
	pcSize := t.width // a record starts with the function's pc
	size := uint64(pcSize + recordSize[t.version])
	if off > uint64(len(t.funcs)) || uint64(len(t.funcs))-off < size {
		return Func{}, false
	}
	start, end := t.pc(i), t.pc(i+1)
	if end < start || end-start > maxFunc {
		return Func{}, false
	}
	return Func{Entry: t.text + start, End: t.text + end, t: t, rec: t.funcs[off+uint64(pcSize):][:size-uint64(pcSize)]}, true
}

// maxFunc bounds the size of a function; the pc-value tables count in 32 bits.
const maxFunc = 1 << 31

// recordSize is the size of the fixed part of a function's record behind its
// pc. All fields are 32-bit: name, args, deferreturn, pcsp, pcfile, pcln,
// npcdata; since 1.16 cuOffset, since 1.20 startLine; last the bytes funcID,
// flag, unused and nfuncdata.
var recordSize = [...]int{go12: 8 * 4, go116: 9 * 4, go118: 9 * 4, go120: 10 * 4}

const (
	nameField = 0
	pcspField = 12
)

// pc returns the i-th number of the list of functions' starts, 0 ≤ i ≤ nfunc.
func (t *Table) pc(i int) uint64 { return t.uint(t.pcs[2*i*t.width:], t.width) }

func (t *Table) uint(b []byte, size int) uint64 {
	switch {
	case size == 8 && t.big:
		return binary.BigEndian.Uint64(b)
	case size == 8:
		return binary.LittleEndian.Uint64(b)
	case t.big:
		return uint64(binary.BigEndian.Uint32(b))
	default:
		return uint64(binary.LittleEndian.Uint32(b))
	}
}
