//go:build linux

package jitmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// describe lists what a table says of an address.
func describe(t *Table, addr uint64) string {
	name, start, ok := t.Lookup(addr)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s+%#x", name, addr-start)
}

func perfTable(t testing.TB, text string) *Table {
	t.Helper()
	tab, err := readPerfMap(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestPerfMap(t *testing.T) {
	tab := perfTable(t, strings.Join([]string{
		"1000 100 JS:*foo /path/with space/file.js:12:3",
		"0x1100 0x20 Lcom/example/Foo;::bar",
		"1200\t10\ttabs",
		"1300 10  two blanks",
		"1400 10 dos\r",
		"2000 1000 outer",
		"2100 10 inner",
		"2ff0 20 overlap",
		"3000 100 old",
		"3000 100 new",
		"4000 100 long",
		"4000 10 short",
		"5000 0 empty",
		"6000 100000000 4 GiB",
		"fffffffffffffff0 20 beyond the end",
		"ffffffffffffffe0 1f last",
		"7000 10",
		"7010 10 ",
		"7020",
		"7030 x name",
		"",
		"12345678901234567 10 too many digits",
		"8000 10 after all that",
		"9000 10 unfinished",
	}, "\n"))
	for addr, want := range map[uint64]string{
		0xfff: "", 0x1000: "JS:*foo /path/with space/file.js:12:3+0x0", 0x10ff: "JS:*foo /path/with space/file.js:12:3+0xff",
		0x1100: "Lcom/example/Foo;::bar+0x0", 0x1120: "",
		0x1200: "tabs+0x0", 0x1300: "two blanks+0x0", 0x1400: "dos+0x0",
		0x20ff: "outer+0xff", 0x2100: "inner+0x0", 0x2110: "outer+0x110", 0x2fef: "outer+0xfef", 0x2ff0: "overlap+0x0",
		0x3000: "new+0x0", 0x30ff: "new+0xff",
		0x400f: "short+0xf", 0x4010: "long+0x10",
		0x5000: "", 0x6000: "", 0xfffffffffffffff0: "last+0x10", 0xfffffffffffffffe: "last+0x1e", ^uint64(0): "",
		0x7000: "", 0x7010: "", 0x7020: "", 0x7030: "", 0x8000: "after all that+0x0", 0x9000: "",
	} {
		if got := describe(tab, addr); got != want {
			t.Errorf("%#x: %q, want %q", addr, got, want)
		}
	}
	if s, _, _ := perfTable(t, "3000 100 old\n3008 10 x\n").Lookup(0x3100 - 1); s != "old" {
		t.Error(s)
	}
	if n := testing.AllocsPerRun(100, func() { tab.Lookup(0x2110) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Lines that are longer than a name may be are cut, and what follows is read.
func TestPerfMapLongLines(t *testing.T) {
	for _, n := range []int{maxName, maxName + 1, chunkSize - 8, chunkSize - 7, chunkSize, 3*chunkSize + 5} {
		for _, reader := range []io.ReaderAt{nil, io.ReaderAt(dribble{})} {
			text := "1000 10 " + strings.Repeat("x", n) + "\n2000 10 next\n"
			r := io.ReaderAt(strings.NewReader(text))
			if reader != nil {
				r = dribble{r}
			}
			tab, err := readPerfMap(r, int64(len(text)))
			if err != nil {
				t.Fatal(err)
			}
			if name, _, _ := tab.Lookup(0x1001); name != strings.Repeat("x", maxName) {
				t.Errorf("%d: a name of %d bytes", n, len(name))
			}
			if got := describe(tab, 0x2000); got != "next+0x0" || tab.Len() != 2 {
				t.Errorf("%d: %q", n, got)
			}
		}
	}
}

// dribble reads a few bytes at a time.
type dribble struct{ r io.ReaderAt }

func (d dribble) ReadAt(b []byte, off int64) (int, error) { return d.r.ReadAt(b[:min(len(b), 7)], off) }

// Later functions override earlier ones: compared with a map of every address.
func TestOverlaps(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		const space = 300
		type owner struct {
			name  string
			start uint64
		}
		var want [space]owner
		var b builder
		for i := range 1 + rnd.IntN(60) {
			start, size := rnd.Uint64N(space), 1+rnd.Uint64N(1+rnd.Uint64N(100))
			size = min(size, space-start)
			o := owner{fmt.Sprint(i), start}
			n := b.keep([]byte(o.name))
			if rnd.IntN(8) == 0 {
				o, n = owner{}, name{}
			}
			if err := b.add(start, size, n); err != nil {
				t.Fatal(err)
			}
			for a := start; a < start+size; a++ {
				want[a] = o
			}
			if rnd.IntN(10) == 0 {
				b.merge()
			}
		}
		tab := b.table()
		if !slices.IsSorted(tab.los) {
			t.Fatal("not sorted")
		}
		for a := range uint64(space) {
			name, start, ok := tab.Lookup(a)
			if (owner{name, start}) != want[a] || ok != (name != "") {
				t.Fatalf("seed %d: %d: %q from %d, want %v", seed, a, name, start, want[a])
			}
		}
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	head := strings.Repeat("1000 10 f\n", 10)
	tab, err := readPerfMap(failing{strings.NewReader(head), broken}, 1000)
	if !errors.Is(err, broken) || describe(tab, 0x1000) != "f+0x0" {
		t.Error(err)
	}
	if tab, err = readPerfMap(strings.NewReader(head), 1000); err != nil || tab.Len() != 1 {
		t.Error(err) // it shrank
	}
	if tab, err = readPerfMap(strings.NewReader(head), maxPerfMap+1); !errors.Is(err, ErrTooLarge) || tab.Len() != 0 {
		t.Error(err)
	}
	_, err = readDump(failing{strings.NewReader(""), broken}, 1000)
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

// failing has err instead of an end.
type failing struct {
	r   io.ReaderAt
	err error
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(b, off)
	if err != nil {
		_, err = iotest.ErrReader(f.err).Read(nil)
	}
	return n, err
}

func TestTooMany(t *testing.T) {
	if testing.Short() {
		t.Skip("makes four million entries")
	}
	var b builder
	n := b.keep([]byte("f"))
	var err error
	adds := 0
	for ; err == nil; adds++ {
		err = b.add(uint64(adds)*16, 8, n)
	}
	if !errors.Is(err, ErrTooLarge) || adds < maxSpans || adds > 2*maxSpans+minBatch {
		t.Errorf("%d entries: %v", adds, err)
	}
}

func TestGrowing(t *testing.T) {
	g := growing{fresh: func() reader { return new(perfMap) }}
	text := ""
	update := func(want bool, lookups ...any) {
		t.Helper()
		changed, err := g.update(strings.NewReader(text), int64(len(text)))
		if changed != want || err != nil {
			t.Errorf("changed: %v, %v", changed, err)
		}
		tab := g.b.table()
		for i := 0; i < len(lookups); i += 2 {
			if got := describe(tab, uint64(lookups[i].(int))); got != lookups[i+1] {
				t.Errorf("%#x: %q, want %q", lookups[i], got, lookups[i+1])
			}
		}
	}
	update(false)
	text = "1000 10 a\n2000 10 b"
	update(true, 0x1000, "a+0x0", 0x2000, "")
	update(false)
	early := g.b.table()
	text += "cd\n1008 10 over"
	update(true, 0x1000, "a+0x0", 0x1008, "a+0x8", 0x2000, "bcd+0x0")
	text += "\n"
	update(true, 0x1007, "a+0x7", 0x1008, "over+0x0", 0x2000, "bcd+0x0")
	if got := describe(early, 0x1008); got != "a+0x8" || describe(early, 0x2000) != "" {
		t.Errorf("an earlier table has changed: %q", got)
	}
	// Written anew: longer, then shorter.
	text = "3000 10 " + strings.Repeat("n", 100) + "\n4000 10 y\n"
	update(true, 0x1000, "", 0x4000, "y+0x0")
	text = "5000 10 z\n"
	update(true, 0x4000, "", 0x5000, "z+0x0")
	text = ""
	update(true, 0x5000, "")
	text = "6000 10 q\n"
	update(true, 0x6000, "q+0x0")
}

func FuzzPerfMap(f *testing.F) {
	f.Add([]byte("1000 100 a b\n0x1010 0x10 c\n1020 10 d\r\n1000 10 e\n"), uint16(12))
	f.Add([]byte("ffffffffffffffff 1 x\nfffffffffffffffe 1 y\n0 ffffffff z\n"), uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		whole, err := readPerfMap(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		// In two steps it is the same.
		g := growing{fresh: func() reader { return new(perfMap) }}
		for _, n := range []int{min(int(cut), len(b)), len(b)} {
			if _, err := g.update(bytes.NewReader(b), int64(n)); err != nil {
				t.Fatal(err)
			}
		}
		check(t, b, whole, g.b.table())
	})
}

// check compares two tables that were read from b.
func check(t *testing.T, b []byte, whole, steps *Table) {
	if len(whole.los) > 2*len(b) || !slices.IsSorted(whole.los) {
		t.Fatal("not a table")
	}
	for i, lo := range whole.los {
		for _, a := range []uint64{lo - 1, lo, lo + uint64(whole.spans[i].size) - 1, lo + uint64(whole.spans[i].size)} {
			name, start, ok := whole.Lookup(a)
			if ok && (start > a || name == "" || !bytes.Contains(b, []byte(name))) {
				t.Fatalf("%#x: %q from %#x", a, name, start)
			}
			if got := describe(steps, a); got != describe(whole, a) {
				t.Fatalf("%#x: %q, and in two steps %q", a, describe(whole, a), got)
			}
		}
	}
}

const manyFunctions = 100_000

func manyLines() string {
	rnd := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for i := range manyFunctions {
		fmt.Fprintf(&b, "%x %x JS:*function%d /srv/app/lib/module.js:%d:12\n", 0x7f0000000000+rnd.Uint64N(manyFunctions)*256, 16+rnd.Uint64N(300), i, i)
	}
	return b.String()
}

func BenchmarkReadPerfMap(b *testing.B) {
	text := manyLines()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		perfTable(b, text)
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := perfTable(b, manyLines())
	addr := uint64(1)
	for b.Loop() {
		addr = addr*6364136223846793005 + 1442695040888963407
		tab.Lookup(0x7f0000000000 + addr>>32%(manyFunctions*256))
	}
}
