package cfi

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

// FuzzTable gives the same bytes as every section: whatever they are, no call
// panics, and rows are what Row promises.
func FuzzTable(f *testing.F) {
	ranges := [][2]uint64{{0x1000, 0x1010}, {0x1010, 0x1020}}
	a, offs := frames(ranges)
	f.Add(a.b, header(peDatarel|peSdata4, ranges, offs), byte(8), uint64(0x1008))
	f.Add(a.b, header(peAbsptr, ranges, offs), byte(8|16), uint64(0x1018))
	d := asm{dwarf64: true, big: true}
	c := d.entry(-1, cat(4, 0, 4, 2, uleb(4), sleb(-4), uleb(14), opDefCFA, 13, 0))
	d.entry(c, cat(0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, opAdvanceLoc|1, opRememberState, opExpression, 3, 1, 0x30, opRestoreState))
	f.Add(d.b, []byte{}, byte(4|16), uint64(0x1004))
	if exe, err := os.Executable(); err == nil {
		if b, err := os.ReadFile(exe); err == nil {
			f.Add(b[:min(len(b), 1<<12)], []byte{}, byte(8), uint64(0))
		}
	}
	f.Fuzz(func(t *testing.T, data, hdr []byte, mode byte, pc uint64) {
		config := Config{PtrSize: int(mode & 15), Order: binary.LittleEndian}
		if mode&16 != 0 {
			config.Order = binary.BigEndian
		}
		if mode&32 != 0 {
			config.ReadWord = func(addr uint64, size int) (uint64, bool) { return addr >> 4, addr&1 == 0 }
		}
		config.EhFrame = Section{testAddr, data}
		config.EhFrameHdr = Section{hdrAddr, hdr}
		config.DebugFrame = Section{0, data}
		for _, table := range []*Table{New(config), New(Config{DebugFrame: config.DebugFrame, PtrSize: 4})} {
			check := func(pc uint64) {
				var row Row
				if table.Row(pc, &row) != nil {
					return
				}
				if pc < row.Start || pc >= row.End || pc < row.Func || pc >= row.FuncEnd || row.RA >= arch.MaxRegs {
					t.Errorf("row for %#x: %+v", pc, row)
				}
				for _, r := range append(row.Regs[:], row.CFA) {
					if r.Kind >= Expression && uint64(r.N) >= uint64(len(row.Exprs)) {
						t.Errorf("row for %#x: no expression for %+v", pc, r)
					}
				}
				for _, e := range row.Exprs {
					Eval(e, &Context{Env: mapEnv{}, PtrSize: 4}, 1)
				}
			}
			check(pc)
			n := 0
			for f := range table.FDEs {
				check(f.Start)
				check(f.End - 1)
				if n++; n == 20 {
					break
				}
			}
			n = 0
			table.rows(pc, func(r *Row) bool { n++; return n < 20 })
			EhFrameAddr(config.EhFrameHdr, config.PtrSize, config.Order)
		}
	})
}

func FuzzEval(f *testing.F) {
	f.Add(cat(dwBreg0+7, 8, dwBreg0+16, 0, dwLit0+15, dwAnd, dwLit0+11, dwGe, dwLit0+3, dwShl, dwPlus), true)
	f.Add(cat(dwLit0+1, dwDup, dwBra, 0xfc, 0xff, dwConstu, uleb(1<<40), dwDerefSize, 4), false)
	f.Fuzz(func(t *testing.T, expr []byte, wide bool) {
		ctx := Context{Env: mapEnv{}, PtrSize: 4, HasCFA: wide}
		if wide {
			ctx.PtrSize = 8
		}
		if v, err := Eval(expr, &ctx, 1); err == nil && v&^addrMask(ctx.PtrSize) != 0 {
			t.Errorf("%#x is no address of %d bytes", v, ctx.PtrSize)
		}
	})
}
