package cfi_test

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/unwind/cfi"
)

// The next FDE is the same by .eh_frame_hdr and by the section's index.
func TestNextFunc(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{exe, "/lib/x86_64-linux-gnu/libc.so.6", "/lib/i386-linux-gnu/libc.so.6"} {
		f, err := elf.Open(path)
		if err != nil {
			t.Log(err)
			continue
		}
		defer f.Close()
		c := cfi.Config{PtrSize: 8, Order: binary.LittleEndian}
		if f.Class == elf.ELFCLASS32 {
			c.PtrSize = 4
		}
		read := func(name string) (out cfi.Section) {
			if s := f.Section(name); s != nil {
				out.Addr = s.Addr
				out.Data, _ = s.Data()
			}
			return out
		}
		c.EhFrame = read(".eh_frame")
		plain := cfi.New(c)
		c.EhFrameHdr = read(".eh_frame_hdr")
		table := cfi.New(c)
		var starts []uint64
		table.FDEs(func(f cfi.FDE) bool {
			if f.Start < f.End {
				starts = append(starts, f.Start)
			}
			return true
		})
		slices.Sort(starts)
		starts = slices.Compact(starts)
		if len(starts) == 0 {
			t.Logf("%s has no .eh_frame", path)
			continue
		}
		for i, s := range starts {
			want, more := uint64(0), i+1 < len(starts)
			if more {
				want = starts[i+1]
			}
			for _, tab := range []*cfi.Table{table, plain} {
				if got, ok := tab.NextFunc(s); got != want || ok != more {
					t.Fatalf("%s: behind %x: %x, %v; want %x", path, s, got, ok, want)
				}
				if got, ok := tab.NextFunc(s - 1); got != s || !ok {
					t.Fatalf("%s: from %x: %x, %v", path, s-1, got, ok)
				}
			}
		}
	}
	if _, ok := cfi.New(cfi.Config{}).NextFunc(0); ok {
		t.Error("an FDE in no section")
	}
}
