package cfi

import (
	"math/rand/v2"
	"os"
	"testing"
)

const libc = "/lib/x86_64-linux-gnu/libc.so.6"

// libcPCs is libc's table and pcs all over it, shuffled so that the processor
// learns nothing.
func libcPCs(t testing.TB, hdr bool) (*Table, []uint64) {
	if _, err := os.Stat(libc); err != nil {
		t.Skip(err)
	}
	c, _ := elfConfig(t, libc)
	if !hdr {
		c.EhFrameHdr = Section{}
	}
	table := New(c)
	var pcs []uint64
	for f := range table.FDEs {
		pcs = append(pcs, f.Start, (f.Start+f.End)/2)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(pcs), func(i, j int) { pcs[i], pcs[j] = pcs[j], pcs[i] })
	return table, pcs
}

func TestRowAllocs(t *testing.T) {
	for _, hdr := range []bool{true, false} {
		table, pcs := libcPCs(t, hdr)
		row := Row{Exprs: make([][]byte, 0, 8)}
		i := 0
		if n := testing.AllocsPerRun(len(pcs), func() {
			if err := table.Row(pcs[i%len(pcs)], &row); err != nil {
				t.Error(err)
			}
			i++
		}); n != 0 {
			t.Errorf("with header %v: %v allocations a row", hdr, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if table.Row(1, &row) != ErrNoFDE {
				t.Error("there is code at 1")
			}
		}); n != 0 {
			t.Errorf("with header %v: %v allocations a miss", hdr, n)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	for _, bc := range []struct {
		name string
		hdr  bool
		pcs  int // how many different ones; a stack has tens
	}{{"hdr", true, 0}, {"stack", true, 30}, {"index", false, 0}} {
		b.Run(bc.name, func(b *testing.B) {
			table, pcs := libcPCs(b, bc.hdr)
			if bc.pcs != 0 {
				pcs = pcs[:bc.pcs]
			}
			var row Row
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := table.Row(pcs[i], &row); err != nil {
					b.Fatal(err)
				}
				if i++; i == len(pcs) {
					i = 0
				}
			}
		})
	}
}

// BenchmarkIndex measures the first row of a library without .eh_frame_hdr.
func BenchmarkIndex(b *testing.B) {
	table, _ := libcPCs(b, false)
	b.ReportAllocs()
	for b.Loop() {
		table.eh.buildIndex()
	}
}
