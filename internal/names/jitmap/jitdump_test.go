//go:build linux

package jitmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// dumper writes jitdump files.
type dumper struct {
	order binary.AppendByteOrder
	b     []byte
}

func newDumper(order binary.AppendByteOrder, headerSize uint32) *dumper {
	d := &dumper{order: order}
	d.u32(dumpMagic, dumpVersion, headerSize, 62, 0, 1234)
	d.u64(1, 0)
	d.b = append(d.b, make([]byte, headerSize-40)...)
	return d
}

func (d *dumper) u32(vs ...uint32) {
	for _, v := range vs {
		d.b = d.order.AppendUint32(d.b, v)
	}
}

func (d *dumper) u64(vs ...uint64) {
	for _, v := range vs {
		d.b = d.order.AppendUint64(d.b, v)
	}
}

// record writes the head of a record with a body of size bytes.
func (d *dumper) record(id, size uint32) {
	d.u32(id, prefixSize+size)
	d.u64(7)
}

func (d *dumper) load(name string, addr, size, index uint64) {
	code := min(size, 100_000)
	d.record(codeLoad, uint32(40+len(name)+1)+uint32(code))
	d.u32(1234, 1235)
	d.u64(addr+0x10000, addr, size, index) // vma is not where the code is
	d.b = append(append(d.b, name...), 0)
	d.b = append(d.b, bytes.Repeat([]byte{0xcc}, int(code))...)
}

func (d *dumper) move(from, to, size, index uint64) {
	d.record(codeMove, 48)
	d.u32(1234, 1235)
	d.u64(to, from, to, size, index)
}

// sample is a file with everything in it.
func sample(order binary.AppendByteOrder, headerSize uint32) []byte {
	d := newDumper(order, headerSize)
	d.load("first", 0x1000, 0x100, 1)
	d.load("big", 0x2000, 90_000, 2)
	d.record(2, 30) // JIT_CODE_DEBUG_INFO
	d.b = append(d.b, make([]byte, 30)...)
	d.record(4, 8) // JIT_CODE_UNWINDING_INFO
	d.b = append(d.b, make([]byte, 8)...)
	d.record(99, 0)
	d.load("name with spaces", 0x1080, 0x10, 3)
	d.load("", 0x2100, 0x10, 4)
	return d.b
}

func dumpTable(t testing.TB, b []byte) *Table {
	t.Helper()
	tab, err := readDump(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func expect(t *testing.T, tab *Table, lookups ...any) {
	t.Helper()
	for i := 0; i < len(lookups); i += 2 {
		if got := describe(tab, uint64(lookups[i].(int))); got != lookups[i+1] {
			t.Errorf("%#x: %q, want %q", lookups[i], got, lookups[i+1])
		}
	}
}

func TestDump(t *testing.T) {
	for _, b := range [][]byte{sample(binary.LittleEndian, 40), sample(binary.BigEndian, 40), sample(binary.LittleEndian, 64)} {
		expect(t, dumpTable(t, b),
			0xfff, "", 0x1000, "first+0x0", 0x107f, "first+0x7f",
			0x1080, "name with spaces+0x0", 0x1090, "first+0x90", 0x1100, "",
			0x2000, "big+0x0", 0x20ff, "big+0xff", 0x2100, "", 0x2110, "big+0x110", 0x2000+89_999, "big+0x15f8f", 0x2000+90_000, "",
			0x11000, "big+0xf000")
	}
}

func TestDumpMoves(t *testing.T) {
	d := newDumper(binary.LittleEndian, 40)
	d.load("a", 0x1000, 0x100, 1)
	d.load("b", 0x2000, 0x100, 2)
	d.move(0x1000, 0x1080, 0x100, 1) // over its own old place
	d.move(0x3000, 0x4000, 0x100, 77)
	d.move(0x2000, 0x5000, 0x100, 2)
	d.load("c", 0x2000, 0x10, 3)
	d.move(0x5000, 0x6000, 0x100, 2)
	expect(t, dumpTable(t, d.b), 0x1000, "", 0x107f, "", 0x1080, "a+0x0", 0x117f, "a+0xff", 0x1180, "",
		0x2000, "c+0x0", 0x2010, "", 0x3000, "", 0x4000, "", 0x5000, "", 0x6001, "b+0x1")
}

func TestDumpClose(t *testing.T) {
	d := newDumper(binary.LittleEndian, 40)
	d.load("a", 0x1000, 0x100, 1)
	d.record(codeClose, 0)
	d.load("b", 0x2000, 0x100, 2)
	expect(t, dumpTable(t, d.b), 0x1000, "a+0x0", 0x2000, "")
}

// A file cut anywhere has the functions that are complete, and what is missing
// is read when it comes.
func TestDumpGrows(t *testing.T) {
	d := newDumper(binary.LittleEndian, 40)
	d.load("a", 0x1000, 0x20, 1)
	a := len(d.b)
	d.load("b", 0x2000, 0x20, 2)
	b := len(d.b)
	d.move(0x1000, 0x3000, 0x20, 1)
	for n := range len(d.b) + 1 {
		g := growing{fresh: func() reader { return new(dump) }}
		if _, err := g.update(bytes.NewReader(d.b[:n]), int64(n)); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		wantA, wantB := "", ""
		if n >= a {
			wantA = "a+0x0"
		}
		if n >= b {
			wantB = "b+0x0"
		}
		if n < len(d.b) {
			expect(t, g.b.table(), 0x1000, wantA, 0x2000, wantB)
		}
		if changed, err := g.update(bytes.NewReader(d.b), int64(len(d.b))); err != nil || changed != (n < len(d.b)) {
			t.Fatalf("%d bytes: %v, %v", n, changed, err)
		}
		expect(t, g.b.table(), 0x1000, "", 0x2000, "b+0x0", 0x3000, "a+0x0")
	}
}

func TestDumpErrors(t *testing.T) {
	good := sample(binary.LittleEndian, 40)
	with := func(at int, v uint32) []byte {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"magic":       with(0, 0x464c457f),
		"version":     with(4, 2),
		"header size": with(8, 39),
	} {
		if tab, err := readDump(bytes.NewReader(b), int64(len(b))); !errors.Is(err, errNoDump) || tab.Len() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The second record: what precedes it is kept.
	second := 40 + loadSize + len("first") + 1 + 0x100
	for size, want := range map[uint32]string{0: "", 1: "malformed record at 0x", 15: "malformed record at 0x", 1 << 31: ""} {
		b := with(second+4, size)
		tab, err := readDump(bytes.NewReader(b), int64(len(b)))
		expect(t, tab, 0x1000, "first+0x0", 0x2000, "")
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	// Records that are too short for what they are.
	d := newDumper(binary.LittleEndian, 40)
	for size := range uint32(48) {
		for _, id := range []uint32{codeLoad, codeMove} {
			d.record(id, size)
			d.b = append(d.b, make([]byte, size)...)
		}
	}
	d.load(strings.Repeat("n", maxName+100), 0x1000, 0x100, 1)
	if name, _, _ := dumpTable(t, d.b).Lookup(0x1000); len(name) != maxName {
		t.Errorf("a name of %d bytes", len(name))
	}
	tab, err := readDump(bytes.NewReader(good), maxDump+1)
	expect(t, tab, 0x1000, "first+0x0")
	if !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func FuzzDump(f *testing.F) {
	f.Add(sample(binary.LittleEndian, 40), uint16(100))
	f.Add(sample(binary.BigEndian, 44), uint16(200))
	d := newDumper(binary.LittleEndian, 40)
	d.load("a", 0x1000, 0x100, 1)
	d.move(0x1000, 0x1080, 0x100, 1)
	f.Add(d.b, uint16(150))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		whole, err := readDump(bytes.NewReader(b), int64(len(b)))
		g := growing{fresh: func() reader { return new(dump) }}
		for _, n := range []int{min(int(cut), len(b)), len(b)} {
			if _, stepErr := g.update(bytes.NewReader(b), int64(n)); stepErr != nil && err == nil {
				t.Fatal(stepErr)
			}
		}
		check(t, b, whole, g.b.table())
	})
}

func BenchmarkReadDump(b *testing.B) {
	d := newDumper(binary.LittleEndian, 40)
	for i := range uint64(manyFunctions) {
		d.load("JS:*function /srv/app/lib/module.js:1:12", 0x7f0000000000+i*0x77777%manyFunctions*256, 200, i)
	}
	b.SetBytes(int64(len(d.b)))
	b.ReportAllocs()
	for b.Loop() {
		dumpTable(b, d.b)
	}
}
