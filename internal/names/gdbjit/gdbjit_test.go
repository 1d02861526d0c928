package gdbjit_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/names/gdbjit"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// memory is a target's, by address.
type memory map[uint64][]byte

func (m memory) target(ptrSize int) *gdbjit.Memory {
	return &gdbjit.Memory{PtrSize: ptrSize, Order: binary.LittleEndian, Read: func(addr uint64, b []byte) int {
		for at, data := range m {
			if addr-at < uint64(len(data)) {
				return copy(b, data[addr-at:])
			}
		}
		return 0
	}}
}

// words are 32-bit or 64-bit words as a program's memory holds them.
func words(ptrSize int, list ...uint64) (b []byte) {
	for _, v := range list {
		if ptrSize == 4 {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		} else {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	return b
}

// descriptor is the head of a list.
func descriptor(ptrSize int, version uint32, first uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, version)
	return append(binary.LittleEndian.AppendUint32(b, 0), words(ptrSize, 0, first)...)
}

func entry(ptrSize int, next, addr, size uint64) []byte {
	return binary.LittleEndian.AppendUint64(words(ptrSize, next, 0, addr), size)
}

func TestList(t *testing.T) {
	for _, size := range []int{4, 8} {
		for _, tt := range []struct {
			name string
			mem  memory
			want int
			err  string
		}{
			{"two images", memory{0x1000: descriptor(size, 1, 0x2000), 0x2000: entry(size, 0x3000, 7, 8), 0x3000: entry(size, 0, 9, 10)}, 2, ""},
			{"none yet", memory{0x1000: descriptor(size, 1, 0)}, 0, ""},
			{"not used", memory{0x1000: descriptor(size, 0, 0)}, 0, ""},
			{"another version", memory{0x1000: descriptor(size, 2, 0x2000)}, 0, "version 2"},
			{"no memory", memory{}, 0, "cannot be read"},
			{"a loop", memory{0x1000: descriptor(size, 1, 0x2000), 0x2000: entry(size, 0x3000, 7, 8), 0x3000: entry(size, 0x2000, 9, 10)}, 2, "loop"},
			{"broken", memory{0x1000: descriptor(size, 1, 0x2000), 0x2000: entry(size, 0x3000, 7, 8)}, 1, "0x3000"},
		} {
			list, err := tt.mem.target(size).List(0x1000)
			if len(list) != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s, %d bytes: %v, %v", tt.name, size, list, err)
			}
			if len(list) > 0 && list[0] != (gdbjit.Entry{Addr: 7, Size: 8}) {
				t.Errorf("%s: %v", tt.name, list)
			}
		}
	}
	endless := &gdbjit.Memory{PtrSize: 8, Order: binary.LittleEndian, Read: func(addr uint64, b []byte) int {
		if addr == 0x1000 {
			return copy(b, descriptor(8, 1, 0x2000))
		}
		return copy(b, entry(8, addr+64, 1, 1))
	}}
	if list, err := endless.List(0x1000); err == nil || len(list) > 1<<20 {
		t.Errorf("an endless list: %d, %v", len(list), err)
	}
}

// object compiles a function and returns it as a JIT compiler registers it: a
// relocatable object whose section headers have the addresses in memory.
func object(t *testing.T, flags ...string) []byte {
	t.Helper()
	gcc := testenv.Need(t, "gcc", "gcc")
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "f.c"), filepath.Join(dir, "f.o")
	os.WriteFile(src, []byte(`
int g(int);
int f(int n) { volatile char b[300]; b[n] = 1; n = g(n); return n + b[2]; }
int h(int n) { return g(n) + 1; }
`), 0o644)
	testenv.Compile(t, obj, gcc, append(flags, "-c", "-O1", "-fno-pic", src)...)
	data, err := os.ReadFile(obj)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range f.Sections {
		addr := map[string]uint64{".text": 0x7000_0000, ".eh_frame": 0x7100_0000}[s.Name]
		if f.Class == elf.ELFCLASS64 {
			at := binary.LittleEndian.Uint64(data[40:]) + uint64(64*i)
			binary.LittleEndian.PutUint64(data[at+16:], addr)
		} else {
			at := binary.LittleEndian.Uint32(data[32:]) + uint32(40*i)
			binary.LittleEndian.PutUint32(data[at+12:], uint32(addr))
		}
	}
	return data
}

// A relocatable object names and unwinds its code where it was loaded.
func TestObject(t *testing.T) {
	for name, flags := range map[string][]string{
		"64-bit":       {"-fasynchronous-unwind-tables"},
		"32-bit":       {"-m32", "-fasynchronous-unwind-tables"},
		".debug_frame": {"-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g"},
	} {
		t.Run(name, func(t *testing.T) {
			data := object(t, flags...)
			code, err := memory{0x5000: data}.target(8).Load([]gdbjit.Entry{{Addr: 0x5000, Size: uint64(len(data))}})
			if err != nil {
				t.Fatal(err)
			}
			f, start, ok := code.Name(0x7000_0004)
			if f != "f" || start != 0x7000_0000 || !ok {
				t.Errorf("%q at %x, %v", f, start, ok)
			}
			if name, _, ok := code.Name(0x7000_1000); ok {
				t.Errorf("behind the code: %s", name)
			}
			var row cfi.Row
			if !code.Row(0x7000_0010, &row) || row.Func != 0x7000_0000 || row.CFA.N < 300 {
				t.Errorf("row of f: %+v", row)
			}
			if code.Row(0x7000_1000, &row) || code.Row(0x6fff_ffff, &row) {
				t.Errorf("a row outside: %+v", row)
			}
			// The image is damaged, or not there.
			for _, e := range []gdbjit.Entry{{0x5000, uint64(len(data)) + 1}, {0x5000, 1 << 60}, {0x5000, 0}, {0x5000, 10}, {0x9999, 100}} {
				if code, err := (memory{0x5000: data}).target(8).Load([]gdbjit.Entry{e}); err == nil || code == nil {
					t.Errorf("%x: %v", e, err)
				}
			}
		})
	}
}

// Whatever an image holds, there is an end to it.
func FuzzImage(f *testing.F) {
	head := make([]byte, 64+3*64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[18], head[40], head[58], head[60] = 1, 62, 64, 64, 3
	f.Add(head, uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, pc uint64) {
		code, _ := memory{0x5000: data}.target(8).Load([]gdbjit.Entry{{Addr: 0x5000, Size: uint64(len(data))}})
		var row cfi.Row
		for _, at := range []uint64{pc, pc + 16} {
			if _, start, ok := code.Name(at); ok && start > at {
				t.Error("a function that begins behind its address")
			}
			code.Row(at, &row)
		}
	})
}
