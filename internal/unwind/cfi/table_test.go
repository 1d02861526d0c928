package cfi

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// frames is an .eh_frame with an FDE of each given range, and the FDEs' offsets.
// The CFA offset of each is its number.
func frames(ranges [][2]uint64) (*asm, []int) {
	a := &asm{eh: true}
	c := a.cie1("zR", []byte{1, peUdata8}, usual)
	var offs []int
	for i, r := range ranges {
		offs = append(offs, a.entry(c, cat(a.uint(r[0], 8), a.uint(r[1]-r[0], 8), 0, opDefCFAOffset, i)))
	}
	return a, offs
}

const hdrAddr = 0x500000

// header is the .eh_frame_hdr, in the table encoding enc, of the FDEs at offs.
func header(enc byte, ranges [][2]uint64, offs []int) []byte {
	a := asm{}
	b := cat(1, peUdata4, peUdata4, int(enc), a.uint(testAddr, 4), a.uint(uint64(len(offs)), 4))
	put := func(v uint64) {
		switch enc & 0x70 {
		case pePcrel:
			v -= hdrAddr + uint64(len(b))
		case peDatarel:
			v -= hdrAddr
		}
		b = append(b, a.uint(v, fixedSize(enc, 8))...)
	}
	for i, off := range offs {
		put(ranges[i][0])
		put(testAddr + uint64(off))
	}
	return b
}

func TestHeader(t *testing.T) {
	ranges := [][2]uint64{{0x1000, 0x1010}, {0x1010, 0x1020}, {0x1020, 0x1020}, {0x1030, 0x1080}, {0x1040, 0x1048}, {0x2000, 0x2001}}
	for _, enc := range []byte{
		peDatarel | peSdata4, peAbsptr, peUdata4, peSdata4, peUdata8, peDatarel | peSdata8,
		pePcrel | peSdata4, pePcrel | peAbsptr, peTextrel | peUdata4,
	} {
		a, offs := frames(ranges)
		table := New(Config{
			EhFrame: Section{testAddr, a.b}, EhFrameHdr: Section{hdrAddr, header(enc, ranges, offs)},
			Order: binary.LittleEndian,
		})
		if !table.hasHdr {
			t.Errorf("encoding %#x: header not used", enc)
		}
		for pc, want := range map[uint64]int{
			0: -1, 0xfff: -1, 0x1000: 0, 0x100f: 0, 0x1010: 1, 0x101f: 1, 0x1020: -1, 0x102f: -1,
			0x1030: 3, 0x1040: 4, 0x1047: 4, 0x1048: 3, 0x107f: 3, 0x1080: -1, 0x1fff: -1, 0x2000: 5, 0x2001: -1, ^uint64(0): -1,
		} {
			var row Row
			switch err := table.Row(pc, &row); {
			case want < 0 && err != ErrNoFDE:
				t.Errorf("encoding %#x: %#x: %v %+v", enc, pc, err, row)
			case want >= 0 && (err != nil || row.CFA.N != int64(want)):
				t.Errorf("encoding %#x: %#x: %v %+v", enc, pc, err, row.CFA)
			}
		}
		if table.eh.idx != nil {
			t.Errorf("encoding %#x: an index was built", enc)
		}
	}
}

// A header that does not tell the truth, or has no table, does no harm.
func TestBadHeader(t *testing.T) {
	ranges := [][2]uint64{{0x1000, 0x1010}, {0x1010, 0x1020}}
	a, offs := frames(ranges)
	const enc = peDatarel | peSdata4
	good := header(enc, ranges, offs)
	spoil := func(at int, v ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                nil,
		"short":                good[:7],
		"version":              spoil(0, 2),
		"no count":             spoil(2, peOmit),
		"no table":             spoil(3, peOmit),
		"table of LEB128":      spoil(3, peUleb),
		"aligned table":        spoil(3, peAligned),
		"indirect table":       spoil(3, peIndirect|peAbsptr),
		"unknown format":       spoil(3, 0x0f),
		"count too large":      spoil(8, 3),
		"huge count":           spoil(8, 0xff, 0xff, 0xff, 0xff),
		"count 0":              spoil(8, 0, 0, 0, 0),
		"table cut":            good[:len(good)-1],
		"other FDE":            header(enc, ranges, []int{offs[1], offs[0]}),
		"FDE that is a CIE":    header(enc, ranges, []int{0, 0}),
		"FDE outside":          header(enc, ranges, []int{1 << 20, 1 << 20}),
		"FDE before":           header(enc, ranges, []int{-8, -8}),
		"FDE at the end":       header(enc, ranges, []int{len(a.b), len(a.b)}),
		"FDE in the middle":    header(enc, ranges, []int{offs[0] + 1, offs[1] + 1}),
		"addresses of another": header(enc, [][2]uint64{{0x1001}, {0x1011}}, offs),
	} {
		table := New(Config{
			EhFrame: Section{testAddr, a.b}, EhFrameHdr: Section{hdrAddr, b}, Order: binary.LittleEndian,
		})
		for i, r := range ranges {
			var row Row
			if err := table.Row(r[1]-1, &row); err != nil || row.CFA.N != int64(i) {
				t.Errorf("%s: %v %+v", name, err, row.CFA)
			}
		}
	}
}

// Without section headers .eh_frame runs on to the end of its segment; what
// follows the terminator is not call frame information.
func TestTerminator(t *testing.T) {
	ranges := [][2]uint64{{0x1000, 0x1010}, {0x1010, 0x1020}}
	a, offs := frames(ranges[:1])
	a.b = append(a.b, 0, 0, 0, 0)
	offs = append(offs, a.entry(0, cat(a.uint(0x1010, 8), a.uint(0x10, 8), 0, opDefCFAOffset, 1)))
	rest := append(slices.Clone(a.b), "garbage of .gcc_except_table"...)

	var row Row
	index := New(Config{EhFrame: Section{testAddr, rest}, Order: binary.LittleEndian})
	if err := index.Row(0x1000, &row); err != nil {
		t.Error(err)
	}
	if err := index.Row(0x1010, &row); err != ErrNoFDE {
		t.Errorf("behind the terminator: %v", err)
	}
	// The header knows better: gold puts a terminator in the middle.
	hdr := Section{hdrAddr, header(peDatarel|peSdata4, ranges, offs)}
	byHdr := New(Config{EhFrame: Section{testAddr, rest}, EhFrameHdr: hdr, Order: binary.LittleEndian})
	if row := mustRow(t, byHdr, 0x1010); row.CFA.N != 1 {
		t.Errorf("%+v", row.CFA)
	}
	if addr, err := EhFrameAddr(hdr, 8, binary.LittleEndian); err != nil || addr != testAddr {
		t.Errorf("EhFrameAddr: %#x %v", addr, err)
	}
	for _, b := range [][]byte{nil, {1, 0x1b, 3, 0x3b, 0}, {2, 3, 3, 3, 0, 0, 0, 0}, {1, peOmit, 3, 3, 0, 0, 0, 0}, {1, 0x9b, 3, 3, 0, 0, 0, 0}} {
		if addr, err := EhFrameAddr(Section{hdrAddr, b}, 8, binary.LittleEndian); err == nil {
			t.Errorf("EhFrameAddr of %x: %#x", b, addr)
		}
	}
}

// .debug_frame is asked where .eh_frame has nothing; it may be padded.
func TestBothSections(t *testing.T) {
	eh, _ := frames([][2]uint64{{0x1000, 0x1010}})
	d := asm{}
	c := d.cie1("", nil, usual)
	d.b = append(d.b, 0, 0, 0, 0, 0, 0, 0, 0)
	d.entry(c, cat(d.uint(0, 8), d.uint(0, 8))) // discarded
	d.entry(c, cat(d.uint(0x1000, 8), d.uint(0x20, 8), opDefCFAOffset, 32))
	for _, eager := range []bool{true, false} {
		config := Config{
			EhFrame: Section{testAddr, eh.b}, DebugFrame: Section{0, d.b}, Order: binary.LittleEndian,
		}
		if !eager { // broken behind its only FDE
			config.EhFrame.Data = append(slices.Clone(eh.b), 1)
		}
		table := New(config)
		if row := mustRow(t, table, 0x1000); row.CFA.N != 0 {
			t.Errorf("%+v", row.CFA)
		}
		if row := mustRow(t, table, 0x1010); row.CFA.N != 32 {
			t.Errorf("%+v", row.CFA)
		}
		var got []string
		for f := range table.FDEs {
			got = append(got, fmt.Sprintf("%s %#x-%#x", f.Section, f.Start, f.End))
		}
		want := []string{".eh_frame 0x1000-0x1010", ".debug_frame 0x0-0x0", ".debug_frame 0x1000-0x1020"}
		if !slices.Equal(got, want) {
			t.Errorf("FDEs: %q", got)
		}
		for range table.FDEs {
			break
		}
	}
	if err := New(Config{}).Row(0x1000, new(Row)); err != ErrNoFDE {
		t.Errorf("nothing at all: %v", err)
	}
}

func TestRows(t *testing.T) {
	table := simple(opAdvanceLoc|1, opDefCFAOffset, 16, opAdvanceLoc|3, opDefCFAOffset, 24, opAdvanceLoc|4, opRestoreState)
	var got []string
	collect := func(r *Row) bool {
		got = append(got, fmt.Sprintf("%#x-%#x:%d", r.Start, r.End, r.CFA.N))
		return true
	}
	if err := table.rows(0x1080, collect); err == nil {
		t.Error("no error for an unmatched restore_state")
	}
	if want := []string{"0x1000-0x1001:8", "0x1001-0x1004:16", "0x1004-0x1008:24"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := table.rows(0x1100, collect); err != ErrNoFDE {
		t.Error(err)
	}
	n := 0
	if err := table.rows(0x1000, func(*Row) bool { n++; return false }); err != nil || n != 1 {
		t.Error(n, err)
	}
}

// More CIEs than the section keeps, from several goroutines.
func TestConcurrent(t *testing.T) {
	a := asm{eh: true}
	const n = 50
	for i := range n {
		c := a.cie1("zR", []byte{1, peUdata8}, opDefCFA, 7, i, opOffset|16, 1)
		a.entry(c, cat(a.uint(uint64(i)*16, 8), a.uint(16, 8), 0, opUndefined, 16, opAdvanceLoc|8, opRestore|16))
	}
	table := New(Config{EhFrame: Section{testAddr, a.b}, Order: binary.LittleEndian})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var row Row
			for k := range 20 * n {
				i := (k*7 + g) % n
				if err := table.Row(uint64(i)*16+8, &row); err != nil || row.CFA.N != int64(i) || row.Regs[16] != (Rule{Offset, 0, -8}) {
					t.Errorf("%d: %v %+v %+v", i, err, row.CFA, row.Regs[16])
				}
			}
		})
	}
	wg.Wait()
}
