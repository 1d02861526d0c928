package cfi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Every pointer encoding, for both sizes and orders: the FDE of 0x1000 … 0x1080
// must be found, and the LSDA pointer behind it must be skipped.
func TestPointerEncodings(t *testing.T) {
	const (
		start    = 0x1000
		size     = 0x80
		textBase = 0x800
		dataBase = 0x900
		word     = 0x7000 // where the address lies for indirect encodings
	)
	formats := []struct {
		enc  byte
		size int // 0: an address, -1: LEB128
	}{
		{peAbsptr, 0}, {peSigned, 0}, {peUleb, -1}, {peSleb, -1},
		{peUdata2, 2}, {peSdata2, 2}, {peUdata4, 4}, {peSdata4, 4}, {peUdata8, 8}, {peSdata8, 8},
	}
	for _, ptrSize := range []int{4, 8} {
		for _, big := range []bool{false, true} {
			for _, f := range formats {
				for _, rel := range []byte{0, pePcrel, peTextrel, peDatarel, peFuncrel, peAligned} {
					for _, indirect := range []byte{0, peIndirect} {
						enc := f.enc | rel | indirect
						if rel == peAligned && f.enc != peAbsptr {
							continue
						}
						addr := uint64(0x400) // of the section, near enough for 16 bits
						a := asm{eh: true, big: big}
						c := a.cie1("zRL", cat(2, int(enc), int(peUdata2)), usual)

						// A CIE of odd length shows what aligned does.
						at := addr + uint64(a.here())
						v := uint64(start)
						if indirect != 0 {
							v = word
						}
						pad := 0
						switch rel {
						case pePcrel:
							v -= at
						case peTextrel:
							v -= textBase
						case peDatarel:
							v -= dataBase
						case peAligned:
							pad = int(-at & uint64(ptrSize-1))
						}
						n := f.size
						if n == 0 {
							n = ptrSize
						}
						var body []byte
						switch {
						case f.enc == peUleb:
							body = cat(uleb(v), uleb(size))
						case f.enc == peSleb:
							body = cat(sleb(int64(v)), sleb(size))
						default:
							body = cat(make([]byte, pad), a.uint(v, n), a.uint(size, n))
						}
						a.entry(c, cat(body, 2, 0xff, 0xff, opAdvanceLoc|1, opDefCFAOffset, 32))

						order := binary.ByteOrder(binary.LittleEndian)
						if big {
							order = binary.BigEndian
						}
						table := New(Config{
							EhFrame: Section{addr, a.b}, PtrSize: ptrSize, Order: order,
							TextBase: textBase, DataBase: dataBase,
							ReadWord: func(addr uint64, n int) (uint64, bool) {
								return start, addr == word && n == ptrSize
							},
						})
						name := fmt.Sprintf("encoding %#x, %d bytes, big %v", enc, ptrSize, big)
						var row Row
						if err := table.Row(start+1, &row); err != nil {
							t.Errorf("%s: %v", name, err)
							continue
						}
						if row.Func != start || row.FuncEnd != start+size || row.Start != start+1 || row.CFA.N != 32 {
							t.Errorf("%s: row [%#x, %#x) of [%#x, %#x)", name, row.Start, row.End, row.Func, row.FuncEnd)
						}
					}
				}
			}
		}
	}
}

// Each augmentation, for FDEs in .eh_frame.
func TestAugmentations(t *testing.T) {
	addr := func(a *asm, size int) []byte { return cat(a.uint(0x1000, size), a.uint(0x10, size)) }
	for _, c := range []struct {
		aug    string
		data   []byte // of the CIE
		size   int    // of an address in the FDE
		fde    []byte // behind the addresses
		signal bool
		err    string
	}{
		{"", nil, 8, nil, false, ""},
		{"z", cat(0), 8, cat(0), false, ""},
		{"z", cat(3, 9, 9, 9), 8, cat(2, 9, 9), false, ""},
		{"zR", cat(1, peUdata4), 4, cat(0), false, ""},
		{"zRS", cat(1, peUdata4), 4, cat(0), true, ""},
		{"zRSBG", cat(1, peUdata4), 4, cat(0), true, ""},
		{"zPLR", cat(7, peUdata4|pePcrel|peIndirect, 1, 2, 3, 4, peUdata4, peUdata4), 4, cat(4, 1, 2, 3, 4), false, ""},
		{"zPR", cat(10, peAbsptr, 1, 2, 3, 4, 5, 6, 7, 8, peUdata4), 4, cat(0), false, ""},
		{"zLR", cat(2, peOmit, peUdata4), 4, cat(0), false, ""},
		{"zP", cat(1, peOmit), 8, cat(0), false, ""},
		{"zRx", cat(5, peUdata4, 1, 2, 3, 4), 4, cat(0), false, ""},
		{"R", cat(peUdata4), 4, nil, false, ""},
		{"S", nil, 8, nil, true, ""},
		{"L", cat(peUdata2), 8, cat(1, 1), false, ""},
		{"x", nil, 8, nil, false, "unknown CIE augmentation"},
		{"zR", cat(1, peOmit), 4, cat(0), false, "omits"},
		{"zR", cat(1, 0x0f), 4, cat(0), false, "cut short"},
		{"zR", cat(1, 0x73), 4, cat(0), false, "cut short"},
		{"zR", cat(1, peIndirect), 8, cat(0), false, "cut short"}, // nothing to read it with
		{"zRLP", cat(1, peUdata4), 4, cat(0), false, "augmentation data is cut short"},
		{"zR", cat(200, peUdata4), 4, cat(0), false, "CIE is cut short"},
		{"zR", cat(1, peUdata4), 4, cat(200), false, "FDE is cut short"},
		{strings.Repeat("z", 40), cat(0), 8, cat(0), false, "unterminated"},
	} {
		t.Run(c.aug, func(t *testing.T) {
			a := asm{eh: true}
			off := a.cie1(c.aug, c.data, usual)
			a.entry(off, cat(addr(&a, c.size), c.fde, opAdvanceLoc|1, opDefCFAOffset, 32))
			table := New(Config{EhFrame: Section{testAddr, a.b}, Order: binary.LittleEndian})
			var row Row
			err := table.Row(0x1001, &row)
			if c.err != "" {
				var format *FormatError
				if !errors.As(err, &format) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if row.Start != 0x1001 || row.CFA != (Rule{Register, 7, 32}) || row.Signal != c.signal {
				t.Errorf("%+v", row)
			}
		})
	}
}

func TestOldAugmentation(t *testing.T) {
	a := asm{eh: true}
	c := a.entry(-1, cat(1, "eh", 0, 1, 2, 3, 4, uleb(1), sleb(-4), 8, opDefCFA, 4, 4))
	a.entry(c, cat(a.uint(0x1000, 4), a.uint(0x10, 4), opDefCFAOffset, 8))
	table := New(Config{EhFrame: Section{testAddr, a.b}, PtrSize: 4, Order: binary.LittleEndian})
	if row := mustRow(t, table, 0x1000); row.CFA != (Rule{Register, 4, 8}) || row.RA != 8 {
		t.Errorf("%+v", row)
	}
}

// Both sections, both DWARF formats, all versions.
func TestVersions(t *testing.T) {
	for _, eh := range []bool{true, false} {
		for _, dwarf64 := range []bool{true, false} {
			for _, big := range []bool{true, false} {
				for _, version := range []int{1, 3, 4, 5, 2} {
					a := asm{eh: eh, dwarf64: dwarf64, big: big}
					size := 8
					sizes, segment := []byte(nil), []byte(nil)
					if version >= 4 {
						size = 4 // an address size of its own
						sizes, segment = cat(size, 2), cat(7, 7)
					}
					ra := cat(16)
					if version > 1 {
						ra = cat(0x90, 0)
					}
					// Nothing says that the CIE comes first.
					body := cat(segment, a.uint(0xfffff000, size), a.uint(0x1000, size), opAdvanceLoc|2, opDefCFAOffset, 32)
					cieOff := 0
					if !eh {
						head := 8
						if dwarf64 {
							head = 20
						}
						cieOff = head + len(body)
						a.entry(cieOff, body)
					}
					a.entry(-1, cat(version, 0, sizes, uleb(4), sleb(-4), ra, usual))
					if eh {
						a.entry(cieOff, body)
					}
					order := binary.ByteOrder(binary.LittleEndian)
					if big {
						order = binary.BigEndian
					}
					config := Config{PtrSize: 8, Order: order}
					if eh {
						config.EhFrame.Data = a.b
					} else {
						config.DebugFrame.Data = a.b
					}
					var row Row
					err := New(config).Row(0xfffff008, &row)
					if version == 2 {
						if err == nil || err == ErrNoFDE {
							t.Errorf("version 2: %v", err)
						}
						continue
					}
					if err != nil {
						t.Errorf("eh %v, dwarf64 %v, big %v, version %d: %v", eh, dwarf64, big, version, err)
						continue
					}
					if row.Start != 0xfffff008 || row.CFA.N != 32 || row.RA != 16 || row.FuncEnd != 1<<32 {
						t.Errorf("eh %v, dwarf64 %v, big %v, version %d: %+v", eh, dwarf64, big, version, row)
					}
				}
			}
		}
	}
}

// A range ends where the address space does.
func TestWrap(t *testing.T) {
	for _, size := range []int{4, 8} {
		a := asm{eh: true}
		c := a.cie1("", nil, usual)
		start := ^uint64(0xff) & addrMask(size)
		a.entry(c, cat(a.uint(start, size), a.uint(0x1000, size), opAdvanceLoc|0x3f, opDefCFAOffset, 32, opAdvanceLoc2, 0, 1))
		table := New(Config{EhFrame: Section{testAddr, a.b}, PtrSize: size, Order: binary.LittleEndian})
		row := mustRow(t, table, start+0xfe)
		if row.Start != start+0x3f || row.FuncEnd < row.Func {
			t.Errorf("%+v", row)
		}
		if err := table.Row(0x10, row); err != ErrNoFDE {
			t.Errorf("after the wrap: %v", err)
		}
	}
}

func TestMalformedEntries(t *testing.T) {
	good := func() asm {
		a := asm{eh: true}
		c := a.cie1("zR", []byte{1, peUdata4}, usual)
		a.entry(c, cat(a.uint(0x1000, 4), a.uint(0x10, 4), 0))
		return a
	}
	a := good()
	fde := 4 + int(binary.LittleEndian.Uint32(a.b))
	for _, c := range []struct {
		name  string
		spoil func([]byte) []byte
		want  string
	}{
		{"cut in the length", func(b []byte) []byte { return append(b, 1, 2) }, "length is cut short"},
		{"cut in the 64-bit length", func(b []byte) []byte { return append(b, 0xff, 0xff, 0xff, 0xff, 1) }, "length is cut short"},
		{"long", func(b []byte) []byte { return append(b, 9, 0, 0, 0, 1) }, "longer than its section"},
		{"huge", func(b []byte) []byte {
			return append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		}, "longer than its section"},
		{"short", func(b []byte) []byte { return append(b, 2, 0, 0, 0, 1, 1) }, "too short"},
		{"CIE pointer outside", func(b []byte) []byte { b[fde+4] += 4; return b }, "CIE pointer leads out of the section"},
		{"CIE pointer to the FDE", func(b []byte) []byte { b[fde+4] = 4; return b }, "does not point to a CIE"},
		{"return address", func(b []byte) []byte { b[8+1+3+2] = 34; return b }, "return-address column"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := good()
			table := New(Config{EhFrame: Section{testAddr, c.spoil(a.b)}, Order: binary.LittleEndian})
			var row Row
			pc := uint64(0x1000)
			if strings.Contains(c.name, "cut") || c.name == "long" || c.name == "huge" || c.name == "short" {
				// What precedes the break is still good.
				if err := table.Row(pc, &row); err != nil {
					t.Error(err)
				}
				pc = 0x2000
			}
			err := table.Row(pc, &row)
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
