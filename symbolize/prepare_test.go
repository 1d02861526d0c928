//go:build unix

package symbolize_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// ownVDSO is this process's maps and the memory of its vDSO.
func ownVDSO(t *testing.T) (*maps.Map, *source) {
	t.Helper()
	m, err := image.ReadMaps("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	src := &source{mem: map[uint64][]byte{}, files: map[string]string{}}
	for _, e := range m.Gates() {
		if m.GateOf(e) != maps.VDSO {
			continue
		}
		b := make([]byte, e.End-e.Start)
		if _, err := mem.ReadAt(b, int64(e.Start)); err != nil {
			t.Fatal(err)
		}
		src.mem[e.Start] = b
	}
	if len(src.mem) == 0 {
		t.Skip("no vDSO is mapped here")
	}
	return m, src
}

// Each reason for which an address has no name.
func TestMisses(t *testing.T) {
	dir := t.TempDir()
	src := &source{files: map[string]string{
		"/lib.so":  write(t, dir, "lib.so", library(0, 0x100, sym("f", 0x1000, 0x10), sym("g", 0x1020, 0x10)).Bytes()),
		"/text":    write(t, dir, "text", []byte(strings.Repeat("text\n", 100))),
		"/nosyms":  write(t, dir, "nosyms", library(0, 0x100).Bytes()),
		"/dir.so":  dir,
		"/data.so": write(t, dir, "data.so", library(0, 0x100, sym("d", 0x1000, 0x10)).Bytes()),
	}}
	s, _ := newSymbolizer(t, ""+
		"10000-12000 r-xp 00000000 08:01 1 /lib.so\n"+
		"20000-21000 r-xp 00000000 08:01 2 /text\n"+
		"30000-32000 r-xp 00000000 08:01 3 /nosyms\n"+
		"40000-41000 r-xp 00003000 08:01 4 /gone.so\n"+
		"50000-51000 rwxp 00000000 00:00 0 \n"+
		"60000-61000 rw-p 00000000 00:00 0 \n"+
		"70000-71000 r-xp 00000000 08:01 5 /dir.so\n"+
		"80000-81000 rw-p 00000000 00:00 0 [heap]\n",
		src, symbolize.Options{Gate: live})
	for _, tt := range []struct {
		addr   uint64
		exact  bool
		want   string
		modOff uint64
	}{
		{0x11000, true, "f+0", 0x1000},
		{0x11000, false, "?no symbol covers it", 0x1000}, // the call would be before f
		{0x11010, false, "f+10", 0x1010},                 // a call at f's end
		{0x11010, true, "?no symbol covers it", 0x1010},  // padding
		{0x11020, false, "?no symbol covers it", 0x1020},
		{0x11021, false, "g+1", 0x1021},
		{0x20010, true, "?its file cannot be read", 0x10},
		{0x31000, true, "?no symbol covers it", 0x1000},
		{0x40010, true, "?its file cannot be read", 0x3010},
		{0x40010, false, "?its file cannot be read", 0x3010},
		{0x50010, true, "?anonymous memory", 0},
		{0x60010, true, "?nothing is mapped there", 0}, // not as code
		{0x70010, true, "?its file cannot be read", 0x10},
		{0x80010, true, "?nothing is mapped there", 0},
		{0, true, "?nothing is mapped there", 0},
		{0, false, "?nothing is mapped there", 0},
		{^uint64(0), true, "?nothing is mapped there", 0},
	} {
		n := s.Name(tt.addr, tt.exact)
		if got := show(n); got != tt.want || n.Module != nil && n.ModOff != tt.modOff {
			t.Errorf("%x %v: %s at %x, want %s at %x", tt.addr, tt.exact, got, n.ModOff, tt.want, tt.modOff)
		}
		if (n.Symbol == "") != (n.Source == "") {
			t.Errorf("%x: from %q", tt.addr, n.Source)
		}
		s.Prepare([]query{{Addr: tt.addr, Exact: tt.exact}})
		if p := s.Name(tt.addr, tt.exact); p != n {
			t.Errorf("%x %v: %+v, prepared %+v", tt.addr, tt.exact, n, p)
		}
	}
}

// A file that is mapped twice, and one that has two names: each address keeps
// its own module.
func TestPrepareSharedImages(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "lib.so", library(0, 0x100, sym("f", 0x1000, 0x10)).Bytes())
	link := filepath.Join(dir, "link.so")
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	src := &source{files: map[string]string{"/lib.so": path, "/link.so": link}}
	s, _ := newSymbolizer(t, "10000-12000 r-xp 00000000 08:01 1 /lib.so\n20000-22000 r-xp 00000000 08:01 1 /lib.so\n30000-32000 r-xp 00000000 08:01 1 /link.so\n",
		src, symbolize.Options{Gate: live})
	var queries []query
	for _, base := range []uint64{0x10000, 0x20000, 0x30000} {
		queries = append(queries, query{Addr: base + 0x1008, Exact: true}, query{Addr: base + 0x1050, Exact: true})
	}
	s.Prepare(queries)
	for _, q := range queries {
		n := s.Name(q.Addr, true)
		want := "/lib.so"
		if q.Addr >= 0x30000 {
			want = "/link.so"
		}
		if n.Module.Path != want || n.ModOff != q.Addr&0xffff || (n.Symbol == "f") != (q.Addr&0xff == 8) {
			t.Errorf("%x: %s at %s+%x, want %s", q.Addr, show(n), n.Module.Path, n.ModOff, want)
		}
	}
}

// Prepared or not, few addresses or many: the same name for every address of a
// real library.
func TestPrepareLikeName(t *testing.T) {
	libs, _ := filepath.Glob("/lib/*-linux-gnu/libc.so.6")
	if len(libs) == 0 {
		t.Skip("no libc")
	}
	src := &source{files: map[string]string{"/libc.so": libs[0]}}
	const size = 0x200000
	line := "7f0000000000-7f0000200000 r-xp 00000000 08:01 1 /libc.so\n"
	plain, _ := newSymbolizer(t, line, src, symbolize.Options{Gate: live})
	rnd := rand.New(rand.NewPCG(1, 2))
	named := 0
	for _, n := range []int{1, 2, 30, 250, 256, 257, 3000} {
		s, _ := newSymbolizer(t, line, src, symbolize.Options{Gate: live})
		queries := make([]query, n)
		for i := range queries {
			queries[i] = query{Addr: libAt + rnd.Uint64N(size), Exact: rnd.IntN(2) == 0}
			if i > 0 && rnd.IntN(8) == 0 {
				queries[i].Addr = queries[i-1].Addr + 1 // the same lookup, by a return address
			}
		}
		s.Prepare(queries)
		for _, q := range queries {
			a, b := plain.Name(q.Addr, q.Exact), s.Name(q.Addr, q.Exact)
			a.Module, b.Module = nil, nil
			if a != b {
				t.Fatalf("%d addresses: %x %v: %+v, prepared %+v", n, q.Addr, q.Exact, a, b)
			}
			if a.Symbol != "" {
				named++
			}
		}
	}
	if named < 500 {
		t.Errorf("%d names", named)
	}
}

// Together or one by one: the same names, of addresses in several files, twice
// mapped ones, and in none.
func TestNameAllLikeName(t *testing.T) {
	dir := t.TempDir()
	src := &source{files: map[string]string{
		"/a.so":    write(t, dir, "a.so", library(0, 0x100, sym("_ZN1a1fEv", 0x1000, 0x10), sym("g", 0x1020, 0x10)).Bytes()),
		"/b.so":    write(t, dir, "b.so", library(0, 0x100, sym("h", 0x1000, 0x80), sym("i\n", 0x1020, 0x10)).Bytes()),
		"/text":    write(t, dir, "text", []byte(strings.Repeat("text\n", 100))),
		"/empty":   write(t, dir, "empty", library(0, 0x100).Bytes()),
		"/a2.so":   dir + "/a.so",
		"/gone.so": dir + "/gone.so",
	}}
	s, _ := newSymbolizer(t, ""+
		"10000-12000 r-xp 00000000 08:01 1 /a.so\n"+
		"20000-22000 r-xp 00000000 08:01 2 /b.so\n"+
		"30000-32000 r-xp 00000000 08:01 1 /a.so\n"+
		"40000-41000 r-xp 00000000 08:01 3 /text\n"+
		"50000-52000 r-xp 00000000 08:01 4 /empty\n"+
		"60000-62000 r-xp 00000000 08:01 5 /a2.so\n"+
		"70000-71000 r-xp 00000000 08:01 6 /gone.so\n"+
		"80000-81000 rwxp 00000000 00:00 0 \n",
		src, symbolize.Options{Gate: live})
	rnd := rand.New(rand.NewPCG(5, 6))
	named := 0
	for round := range 200 {
		addrs := make([]uint64, rnd.IntN(200))
		for i := range addrs {
			addrs[i] = 0x10000*rnd.Uint64N(10) + 0x1000 + rnd.Uint64N(0x40)
		}
		exact := round%2 == 0
		names := s.NameAll(addrs, exact)
		for i, addr := range addrs {
			if want := s.Name(addr, exact); names[i] != want {
				t.Fatalf("%x %v: %+v, alone %+v", addr, exact, names[i], want)
			}
			if names[i].Symbol != "" {
				named++
			}
		}
	}
	if named < 1000 {
		t.Errorf("%d names", named)
	}
}

// A file that is cut short while it is in use costs names, not the program.
func TestTruncatedFile(t *testing.T) {
	for _, prepare := range []bool{false, true} {
		path := write(t, t.TempDir(), "lib.so", library(0, 0x8000, sym("f", 0x1000, 0x10), sym("g", 0x8000, 0x10)).Bytes())
		src := &source{files: map[string]string{"/lib.so": path}}
		s, _ := newSymbolizer(t, "7f0000000000-7f0000010000 r-xp 00000000 08:01 1 /lib.so\n", src, symbolize.Options{Gate: live})
		if n := s.Name(libAt+0x1000, true); n.Symbol != "f" {
			t.Fatalf("%+v", n)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		if prepare {
			s.Prepare([]query{{Addr: libAt + 0x8000, Exact: true}})
		}
		if n := s.Name(libAt+0x8000, true); n.Symbol != "" || n.Miss == "" {
			t.Errorf("%+v", n)
		}
		for _, n := range s.NameAll([]uint64{libAt + 0x8000, libAt + 0x8001}, true) {
			if n.Symbol != "" || n.Miss == "" {
				t.Errorf("%+v", n)
			}
		}
	}
}
