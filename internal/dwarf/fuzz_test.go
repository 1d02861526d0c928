package dwarf

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// pack puts sections one behind the other, each after its length, for a fuzzer to
// change.
func pack(s Sections) []byte {
	var b []byte
	for _, p := range s.all() {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(*p)))
		b = append(b, *p...)
	}
	return b
}

func unpack(b []byte) (s Sections) {
	for _, p := range s.all() {
		if len(b) < 4 {
			return s
		}
		n := min(int(binary.LittleEndian.Uint32(b)), len(b)-4)
		*p, b = b[4:4+n:4+n], b[4+n:]
	}
	return s
}

func (s *Sections) all() []*[]byte {
	return []*[]byte{&s.Info, &s.Abbrev, &s.Line, &s.Str, &s.LineStr, &s.StrOffsets, &s.Addr, &s.Ranges, &s.RngLists, &s.Aranges}
}

// seeds are the sections of small programs, where there is a compiler.
func seeds(tb testing.TB) (list []Sections) {
	var a asm
	a.setAddr(0x1000)
	a.row(0, 1)
	a.end()
	list = append(list, unitWith(a.b))
	src := filepath.Join(tb.TempDir(), "p.c")
	os.WriteFile(src, []byte("static inline __attribute__((always_inline)) int f(int a){volatile int b=a;return b*b;}\n"+
		"int g(int a){if(a>1)return f(a);return f(a+1)+g(a-1);}\nint main(){return g(3);}\n"), 0o600)
	for _, cc := range [][]string{{"gcc", "-gdwarf-2"}, {"gcc", "-gdwarf-3"}, {"gcc", "-gdwarf-4"}, {"gcc", "-gdwarf-5"}, {"gcc", "-g", "-gdwarf64"}, {"clang", "-g"}} {
		out := filepath.Join(tb.TempDir(), "p")
		if exec.Command(cc[0], append(cc[1:], "-O2", "-nostdlib", "-nostartfiles", "-static", "-o", out, src)...).Run() != nil {
			continue
		}
		f, err := elf.Open(out)
		if err != nil {
			continue
		}
		var s Sections
		for i, name := range []string{"info", "abbrev", "line", "str", "line_str", "str_offsets", "addr", "ranges", "rnglists", "aranges"} {
			if sec := f.Section(".debug_" + name); sec != nil {
				*s.all()[i], _ = sec.Data()
			}
		}
		f.Close()
		list = append(list, s)
	}
	return list
}

var fuzzAddrs = []uint64{0, 1, 0x1000, 0x1008, 0x401000, 0x401004, 0x401010, 0x401020, 0x401033, 1 << 63, ^uint64(0)}

// hostile looks addresses up in all ways.
func hostile(s Sections, big bool) {
	alt := New(s, Options{})
	for _, code := range [][]Span{nil, {{0x1000, 0x9000}, {0x401000, 0x402000}}} {
		o := Options{BigEndian: big, Code: code, Alt: alt}
		o.Split = func(uint64, string, string) *Data { return alt }
		d := New(s, o)
		d.Lookup(fuzzAddrs[4:5])
		a := d.Lookup(fuzzAddrs)
		for i := range fuzzAddrs {
			a.Frames(nil, i)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(pack(s), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) { hostile(unpack(b), big) })
}

// FuzzLineProgram has only the program changed.
func FuzzLineProgram(f *testing.F) {
	var a asm
	a.setAddr(0x1000)
	a.row(0, 1)
	a.row(16, 3)
	a.end()
	f.Add(a.b)
	f.Fuzz(func(t *testing.T, program []byte) { hostile(unitWith(program), false) })
}

// FuzzAbbrev has only the abbreviations changed.
func FuzzAbbrev(f *testing.F) {
	all := seeds(f)
	for i, s := range all {
		f.Add(s.Abbrev, uint8(i))
	}
	f.Fuzz(func(t *testing.T, abbrev []byte, which uint8) {
		s := all[int(which)%len(all)]
		s.Abbrev = abbrev
		hostile(s, false)
	})
}

// FuzzRanges has only the range lists changed.
func FuzzRanges(f *testing.F) {
	all := seeds(f)
	for i, s := range all {
		f.Add(append([]byte{}, s.Ranges...), append([]byte{}, s.RngLists...), append([]byte{}, s.Aranges...), uint8(i))
	}
	f.Fuzz(func(t *testing.T, ranges, lists, aranges []byte, which uint8) {
		s := all[int(which)%len(all)]
		s.Ranges, s.RngLists, s.Aranges = ranges, lists, aranges
		hostile(s, false)
	})
}

// FuzzPackage has the index of a package changed.
func FuzzPackage(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"+
		"\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00"+
		"\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x10\x00\x00\x00"), uint64(7), false)
	all := seeds(f)
	f.Fuzz(func(t *testing.T, index []byte, id uint64, big bool) {
		for _, s := range all {
			p := NewPackage(index, s, Options{BigEndian: big})
			if p == nil {
				return
			}
			for _, id := range []uint64{id, 0, 7} {
				if d := p.Unit(id); d != nil {
					d.Lookup(fuzzAddrs)
				}
			}
		}
	})
}

// TestMutated changes bytes of small programs' sections: nothing may panic, go
// on forever, or allocate much.
func TestMutated(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 60
	}
	x := uint64(1)
	next := func(n int) int {
		x = x*6364136223846793005 + 1442695040888963407
		return int(x>>33) % n
	}
	var before, after runtime.MemStats
	for _, s := range seeds(t) {
		whole := pack(s)
		for range rounds {
			b := append([]byte{}, whole...)
			for range 1 + next(8) {
				switch i := next(len(b)); next(3) {
				case 0:
					b[i] = byte(next(256))
				case 1:
					b[i] = 0xff
				default:
					b[i] ^= 1 << next(8)
				}
			}
			runtime.ReadMemStats(&before)
			hostile(unpack(b), false)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 256<<20 {
				t.Errorf("allocated %d bytes", n)
			}
		}
	}
}
