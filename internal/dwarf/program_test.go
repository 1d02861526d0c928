package dwarf

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// asm writes debug sections by hand.
type asm struct{ b []byte }

func (a *asm) u8(v ...byte)     { a.b = append(a.b, v...) }
func (a *asm) u16(v uint16)     { a.b = binary.LittleEndian.AppendUint16(a.b, v) }
func (a *asm) u32(v uint32)     { a.b = binary.LittleEndian.AppendUint32(a.b, v) }
func (a *asm) u64(v uint64)     { a.b = binary.LittleEndian.AppendUint64(a.b, v) }
func (a *asm) uleb(v uint64)    { a.b = binary.AppendUvarint(a.b, v) }
func (a *asm) str(s string)     { a.b = append(append(a.b, s...), 0) }
func (a *asm) setAddr(v uint64) { a.u8(0, 9, lneSetAddress); a.u64(v) }
func (a *asm) end()             { a.u8(0, 1, lneEndSequence) }

// row advances to the next row.
func (a *asm) row(advance, line uint64) {
	a.u8(lnsAdvancePC)
	a.uleb(advance)
	a.u8(lnsAdvanceLine)
	a.b = append(a.b, byte(line)&0x7f) // a small positive number
	a.u8(lnsCopy)
}

// sized returns a unit: its length and its bytes.
func sized(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// unitWith makes a file of one version 4 unit, whose root entry has a line
// program and the range of addresses from 0x1000 to 0x9000.
func unitWith(program []byte) Sections {
	var abbrev, info, head, line asm
	abbrev.uleb(1)
	abbrev.uleb(0x11) // DW_TAG_compile_unit
	abbrev.u8(0)
	for _, at := range [][2]uint64{{0x10, formSecOffset}, {0x11, formAddr}, {0x12, formData4}, {0x1b, formString}} {
		abbrev.uleb(at[0])
		abbrev.uleb(at[1])
	}
	abbrev.u8(0, 0, 0)
	info.u16(4)
	info.u32(0)
	info.u8(8, 1)
	info.u32(0)
	info.u64(0x1000)
	info.u32(0x8000)
	info.str("/src")

	head.u8(1, 1, 1, 0xff, 4, 10) // minimum, operations, is_stmt, line base, range, opcode base
	head.u8(0, 1, 1, 1, 1, 0, 0, 0, 1)
	head.str("inc")
	head.u8(0)
	for _, f := range []struct {
		name string
		dir  byte
	}{{"a.c", 0}, {"b.h", 1}, {"/abs/c.h", 1}} {
		head.str(f.name)
		head.u8(f.dir, 0, 0)
	}
	head.u8(0)
	line.u16(4)
	line.u32(uint32(len(head.b)))
	line.u8(head.b...)
	line.u8(program...)
	return Sections{Info: sized(info.b), Abbrev: abbrev.b, Line: sized(line.b)}
}

// placeOf returns FILE:LINE of an address.
func placeOf(d *Data, addr uint64) string {
	frames := d.Lookup([]uint64{addr}).Frames(nil, 0)
	if len(frames) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s:%d", frames[0].File, frames[0].Line)
}

func TestLineProgram(t *testing.T) {
	code := []Span{{0x1000, 0x9000}}
	tests := []struct {
		name    string
		program func(a *asm)
		want    map[uint64]string
	}{
		{"rows hold up to the next one", func(a *asm) {
			a.setAddr(0x1000)
			a.row(0, 1) // line 2
			a.row(16, 3)
			a.u8(lnsAdvancePC, 16)
			a.end()
		}, map[uint64]string{0x0fff: "nothing", 0x1000: "/src/a.c:2", 0x100f: "/src/a.c:2", 0x1010: "/src/a.c:5", 0x101f: "/src/a.c:5", 0x1020: "nothing"}},
		{"of rows at one address the last counts", func(a *asm) {
			a.setAddr(0x1000)
			a.row(0, 1)
			a.row(0, 1)
			a.row(4, 1)
			a.u8(lnsAdvancePC, 4)
			a.end()
		}, map[uint64]string{0x1000: "/src/a.c:3", 0x1003: "/src/a.c:3", 0x1004: "/src/a.c:4"}},
		{"sequences in any order", func(a *asm) {
			for _, at := range []uint64{0x3000, 0x1000, 0x2000} {
				a.setAddr(at)
				a.row(0, at>>12)
				a.u8(lnsAdvancePC, 16)
				a.end()
			}
		}, map[uint64]string{0x1000: "/src/a.c:2", 0x2000: "/src/a.c:3", 0x300f: "/src/a.c:4", 0x1010: "nothing"}},
		{"the first of sequences that overlap", func(a *asm) {
			for i := range 2 {
				a.setAddr(0x1000)
				a.row(0, uint64(i+1))
				a.u8(lnsAdvancePC, 16)
				a.end()
			}
		}, map[uint64]string{0x1000: "/src/a.c:2"}},
		{"addresses that go back", func(a *asm) {
			a.setAddr(0x1000)
			a.row(0, 1)
			a.row(0x100, 1)
			a.setAddr(0x1080)
			a.row(0, 1)
			a.row(8, 1)
			a.end()
		}, map[uint64]string{0x1000: "/src/a.c:2", 0x1081: "/src/a.c:2", 0x10ff: "/src/a.c:2"}},
		{"discarded functions", func(a *asm) {
			for _, at := range []uint64{0, 1, 0x40, ^uint64(0), ^uint64(1)} {
				a.setAddr(at)
				a.row(0, 50)
				a.u8(lnsAdvancePC)
				a.uleb(0x8000) // longer than the code is away from 0
				a.end()
			}
			a.setAddr(0x1000)
			a.row(0, 1)
			a.row(16, 0)
			a.end()
		}, map[uint64]string{0x1000: "/src/a.c:2", 0x2000: "nothing"}},
		{"line 0", func(a *asm) {
			a.setAddr(0x1000)
			a.u8(lnsAdvanceLine, 0x7f, lnsCopy) // 1 - 1
			a.u8(lnsAdvancePC, 16)
			a.end()
		}, map[uint64]string{0x1000: "/src/a.c:0"}},
		{"directories", func(a *asm) {
			for i, at := range []uint64{0x1000, 0x1100, 0x1200, 0x1300} {
				a.setAddr(at)
				a.u8(lnsSetFile, byte(i+1), lnsCopy, lnsAdvancePC, 16)
				a.end()
			}
		}, map[uint64]string{0x1000: "/src/a.c:1", 0x1100: "/src/inc/b.h:1", 0x1200: "/abs/c.h:1", 0x1300: "nothing"}},
		{"special opcodes and constants", func(a *asm) {
			a.setAddr(0x1000)
			a.u8(10 + 4*3 + 2) // 3 on, line + 1
			a.u8(lnsConstAddPC, lnsCopy)
			a.u8(lnsFixedAdvancePC, 0x10, 0)
			a.end()
		}, map[uint64]string{0x1002: "nothing", 0x1003: "/src/a.c:2", 0x1003 + 61: "/src/a.c:2", 0x1003 + 61 + 16: "nothing"}},
		{"opcodes that nobody knows", func(a *asm) {
			a.setAddr(0x1000)
			a.u8(0, 4, 0x99, 1, 2, 3) // extended
			a.u8(lnsCopy, lnsAdvancePC, 16)
			a.end()
		}, map[uint64]string{0x1000: "/src/a.c:1"}},
		{"cut short", func(a *asm) {
			a.setAddr(0x1000)
			a.row(0, 1)
			a.row(16, 1)
			a.u8(0, 200, lneSetAddress)
		}, map[uint64]string{0x1000: "/src/a.c:2", 0x1010: "nothing"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a asm
			test.program(&a)
			d := New(unitWith(a.b), Options{Code: code})
			var addrs []uint64
			for addr, want := range test.want {
				addrs = append(addrs, addr)
				if got := placeOf(d, addr); got != want {
					t.Errorf("%#x: got %s, want %s", addr, got, want)
				}
			}
			slices.Sort(addrs)
			all := d.Lookup(addrs)
			for i, addr := range addrs {
				got := "nothing"
				if f := all.Frames(nil, i); len(f) > 0 {
					got = fmt.Sprintf("%s:%d", f[0].File, f[0].Line)
				}
				if got != test.want[addr] {
					t.Errorf("%#x among others: got %s, want %s", addr, got, test.want[addr])
				}
			}
		})
	}
}

// TestLoops has headers and entries that promise what never ends.
func TestLoops(t *testing.T) {
	var a asm
	a.setAddr(0x1000)
	a.row(0, 1)
	a.row(16, 1)
	a.end()
	good := unitWith(a.b)
	for _, damage := range []struct {
		name string
		do   func(s *Sections)
	}{
		{"length of all ones", func(s *Sections) { copy(s.Info, strings.Repeat("\xff", 12)) }},
		{"no abbreviations", func(s *Sections) { s.Abbrev = nil }},
		{"abbreviations cut short", func(s *Sections) { s.Abbrev = s.Abbrev[:3] }},
		{"no line program", func(s *Sections) { s.Line = nil }},
		{"line range of 0", func(s *Sections) { s.Line[4+2+4+4] = 0 }},
		{"opcode base of 0", func(s *Sections) { s.Line[4+2+4+5] = 0 }},
		{"header longer than the unit", func(s *Sections) { s.Line[6], s.Line[7] = 0xff, 0xff }},
	} {
		s := good
		s.Info, s.Abbrev, s.Line = slices.Clone(s.Info), slices.Clone(s.Abbrev), slices.Clone(s.Line)
		damage.do(&s)
		d := New(s, Options{})
		t.Logf("%s: %s", damage.name, placeOf(d, 0x1000))
	}
}

func TestSorted(t *testing.T) {
	for _, n := range []int{0, 1, 2, 100, radixFrom, 50_000} {
		addrs := make([]uint64, n)
		x := uint64(1)
		for i := range addrs {
			x = x*6364136223846793005 + 1442695040888963407
			addrs[i] = x >> (x % 40)
		}
		order := sorted(addrs)
		if !slices.IsSortedFunc(order, func(a, b uint32) int {
			switch {
			case addrs[a] < addrs[b]:
				return -1
			case addrs[a] > addrs[b]:
				return 1
			}
			return 0
		}) {
			t.Errorf("%d addresses: not sorted", n)
		}
		slices.Sort(order)
		for i, o := range order {
			if int(o) != i {
				t.Fatalf("%d addresses: no permutation", n)
			}
		}
	}
}
