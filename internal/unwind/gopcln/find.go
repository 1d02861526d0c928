package gopcln

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// maxTries bounds the places at which Find looks closer. A program has the
// pattern a few times.
const maxTries = 1000

// Find looks for a table in data, a program's read-only segment, and returns
// where it starts: for programs whose sections have lost their names. order
// is the program's byte order.
func Find(data []byte, order binary.ByteOrder) (off int, ok bool) {
	patterns := []string{"\xff\xff\xff\x00\x00"} // behind the magic's lowest byte
	before := 1
	if order.Uint16([]byte{0, 1}) == 1 {
		patterns = []string{"\xff\xff\xff\xf1\x00\x00", "\xff\xff\xff\xf0\x00\x00", "\xff\xff\xff\xfa\x00\x00", "\xff\xff\xff\xfb\x00\x00"}
		before = 0
	}
	tries := 0
	for _, p := range patterns {
		for at := 0; tries < maxTries; at++ {
			i := bytes.Index(data[at:], []byte(p))
			if i < 0 {
				break
			}
			at += i
			if at < before {
				continue
			}
			if tries++; genuine(data[at-before:]) {
				return at - before, true
			}
		}
	}
	return 0, false
}

// genuine reports whether data starts with a table and not by chance with its
// magic: the first and the last function's records name what the list does.
func genuine(data []byte) bool {
	t, err := open(data)
	if err != nil || t.nfunc == 0 {
		return false
	}
	for _, i := range []int{0, t.nfunc - 1} {
		f, ok := t.At(i)
		if !ok || len(f.NameBytes()) == 0 {
			return false
		}
		off := t.uint(t.pcs[(2*i+1)*t.width:], t.width)
		if t.uint(t.funcs[off:], t.width) != t.pc(i) {
			return false
		}
	}
	return true
}

// LocateText finds the address of runtime.text by the program's code: code is
// the section .text, or an executable segment, which lies at the link-time
// address addr. It finds nothing where New needs no such help (absolute pcs).
//
// The start of .text will not do: where a C compiler linked the program, C
// code precedes Go's. It looks for runtime.goexit, which is always a nop and a call
// of runtime.goexit1: since the table tells how far apart these two functions are,
// all bytes of it are known whatever the program's address. goexit returns them, for
// the CPU of the code, where the callee lies distance bytes behind the caller.
func LocateText(data, code []byte, addr uint64, goexit func(distance uint64) []byte) (text uint64, ok bool) {
	t, err := open(data)
	if err != nil || t.version < go118 || t.big {
		return 0, false
	}
	callers := t.named("runtime.goexit")
	if len(callers) == 0 {
		return 0, false
	}
	for _, callee := range t.named("runtime.goexit1") { // with its ABI wrapper, two
		for _, caller := range callers {
			i := bytes.Index(code, goexit(callee-caller))
			if i < 0 {
				continue
			}
			if at := addr + uint64(i); at >= caller {
				return at - caller, true
			}
		}
	}
	return 0, false
}

// Named returns the addresses of all functions of that name, a few at most. It looks
// through all of the table.
func (t *Table) Named(name string) []uint64 {
	pcs := t.named(name)
	for i := range pcs {
		pcs[i] += t.text
	}
	return pcs
}

// named returns the pcs, relative to runtime.text, of all functions of that
// name, a few at most.
func (t *Table) named(name string) (pcs []uint64) {
	// Two functions of one name, which the ABI tells apart, have a string each.
	var offs []uint64
	for at := 0; len(offs) < 4; {
		i := bytes.Index(t.names[at:], []byte("\x00"+name+"\x00"))
		if i < 0 {
			break
		}
		at += i + 1
		offs = append(offs, uint64(at))
	}
	if len(offs) == 0 {
		return nil
	}
	for i := 0; i < t.nfunc && len(pcs) < 4; i++ {
		if f, ok := t.At(i); ok && slices.Contains(offs, t.uint(f.rec[nameField:], 4)) {
			pcs = append(pcs, t.pc(i))
		}
	}
	return pcs
}
