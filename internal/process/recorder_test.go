package process

import (
	"bytes"
	"testing"
)

// fake is memory of 64 KiB from 0x10000 on, each byte telling where it is.
func fake(reads *int) Fetch {
	return FetchBy(func(addr uint64, b []byte) int {
		*reads++
		n := 0
		for ; n < len(b) && addr+uint64(n) >= 0x10000 && addr+uint64(n) < 0x20000; n++ {
			b[n] = byte((addr + uint64(n)) * 7)
		}
		return n
	})
}

func TestRecorder(t *testing.T) {
	reads := 0
	r := NewRecorder(fake(&reads))
	r.Prefetch([]Range{{0x10100, 0x40}, {0x10120, 0x40}, {0x1fff0, 0x100}, {0, 8}, {^uint64(0) - 3, 8}, {0x10200, 0}})
	check := func(addr uint64, size, want int) {
		t.Helper()
		b := make([]byte, size)
		n := r.Read(addr, b)
		if n != want {
			t.Fatalf("Read(%#x, %d) = %d, want %d", addr, size, n, want)
		}
		exp := make([]byte, n)
		for i := range exp {
			exp[i] = byte((addr + uint64(i)) * 7)
		}
		if !bytes.Equal(b[:n], exp) {
			t.Fatalf("Read(%#x, %d) reads other bytes", addr, size)
		}
	}
	check(0x10100, 0x60, 0x60)
	check(0x1fff8, 64, 8)
	before := reads
	check(0x10110, 0x20, 0x20)
	if reads != before {
		t.Error("memory that was prefetched is read again")
	}
	check(0x100f0, 0x100, 0x100) // a page around what was prefetched
	check(0x15ff0, 0x20, 0x20)   // over the end of a page
	check(0xfff0, 0x20, 0)
	r.Freeze()
	before = reads
	check(0x15000, 0x10, 0x10)
	check(0x18000, 0x10, 0)
	r.Prefetch([]Range{{0x18000, 8}})
	if reads != before {
		t.Error("a frozen recorder reads")
	}
	if v, ok := r.Word(0x10100, 2); !ok || v != 0x0700 {
		t.Errorf("Word = %#x, %v", v, ok)
	}
}

// TestRecorderBounds asks for more than a Recorder keeps.
func TestRecorderBounds(t *testing.T) {
	r := NewRecorder(func(ranges []Range, out [][]byte, n []int) {
		for i := range n {
			n[i] = len(out[i])
		}
	})
	r.room = 3 * recorderPage
	r.Prefetch([]Range{{0, 2 * recorderPage}, {0x100000, 2 * recorderPage}})
	if !r.Cut() {
		t.Error("nothing was cut")
	}
	if n := r.Read(0x100000, make([]byte, 8)); n != 8 {
		t.Errorf("a page that still has room: %d bytes", n)
	}
	if n := r.Read(0x200000, make([]byte, 8)); n != 0 {
		t.Errorf("a page without room: %d bytes", n)
	}
}
