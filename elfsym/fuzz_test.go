package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

// exercise calls everything that an image offers.
func exercise(data []byte) {
	im, err := New(data, "fuzz")
	if err != nil {
		return
	}
	defer im.Close()
	im.BuildID()
	im.EhFrameHdr()
	im.hasSymbols()
	for _, name := range []string{".text", ".symtab", ".debug_info", ".debug_line"} {
		im.Section(name)
	}
	addrs := []uint64{0, im.Entry}
	for _, s := range im.Segments() {
		addrs = append(addrs, s.Vaddr, s.Vaddr+s.Filesz-1)
		im.Bytes(s.Vaddr+s.Filesz-4, 8)
		im.Bias(0x10000, 0x20000, s.Off&^0xfff, true)
	}
	im.GateBias(0x10000, 0x20000)
	for _, a := range im.areas.list {
		addrs = append(addrs, a.lo, a.lo+a.size/2, a.lo+a.size-1, a.lo+a.size)
	}
	addrs = addrs[:min(len(addrs), 100)]
	out := make([]Match, len(addrs))
	im.LookupAll(addrs, out)
	few := min(len(addrs), MaxBatch)
	im.FindAll(addrs[:few], make([]Ref, few), make([]uint64, few))
	for i := range addrs {
		im.Lookup(addrs[i])
		im.FuncStart(addrs[i])
		if ref, _, ok := im.lookupRef(addrs[i]); ok {
			im.NameBytes(ref)
			im.Symbol(ref)
			im.Version(ref)
		}
	}
}

func seeds() [][]byte {
	syms := []testelf.Symbol{sy("f", text, 0x20), sy("g", text+8, 8), sy("h", text+0x40, 0), sy("$x", text+0x50, 0, elf.STT_NOTYPE, elf.STB_LOCAL)}
	out := [][]byte{opdFile(binary.BigEndian).Bytes(), versioned(elf.ELFCLASS64, binary.LittleEndian).Bytes()}
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		for _, order := range []testelf.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, strip := range []bool{false, true} {
				f := testFile(syms, syms)
				for i := range f.Sections { // small seeds mutate better
					f.Sections[i].Data = f.Sections[i].Data[:0x60]
					f.Sections[i].Addr -= text - 0x400
				}
				for i := range f.Symbols {
					f.Symbols[i].Value -= text - 0x400
				}
				f.Sections[1].Addr, f.Sections[2].Addr = 0x460, 0x4c0
				f.Class, f.Order, f.NoSectionHeaders, f.BuildID = class, order, strip, []byte("12345678")
				f.Machine = elf.EM_ARM
				if strip {
					f.Hash = testelf.GNUHash
				}
				out = append(out, f.Bytes())
			}
		}
	}
	return out
}

func FuzzImage(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 1<<16 {
			exercise(data)
		}
	})
}

// TestMutations is a short fuzzing with the mistakes that headers can hold:
// words of all ones, of zeros, of the file's size, and cut files.
func TestMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, seed := range seeds() {
		for n := 0; n < len(seed); n += 13 {
			exercise(seed[:n])
		}
		values := []uint64{0, 1, 4, 0xff, 0xffff, 0xffffffff, 1 << 31, 1 << 32, 1 << 63, ^uint64(0), uint64(len(seed)), uint64(len(seed)) - 1}
		for range 1500 {
			b := bytes.Clone(seed)
			for range 1 + rng.IntN(3) {
				at := rng.IntN(len(b) - 8)
				if rng.IntN(2) == 0 {
					at = rng.IntN(0x200) // headers more often
				}
				v := values[rng.IntN(len(values))]
				switch at &^= 1; rng.IntN(3) {
				case 0:
					binary.LittleEndian.PutUint16(b[at:], uint16(v))
				case 1:
					binary.LittleEndian.PutUint32(b[at:], uint32(v))
				default:
					binary.LittleEndian.PutUint64(b[at:], v)
				}
			}
			exercise(b)
		}
	}
}

// TestRandomTables compares scan and index with the plain reference on tables
// in which symbols nest, overlap and coincide as they never do in real files.
func TestRandomTables(t *testing.T) {
	types := []elf.SymType{elf.STT_FUNC, elf.STT_FUNC, elf.STT_OBJECT, elf.STT_NOTYPE, elf.STT_GNU_IFUNC}
	binds := []elf.SymBind{elf.STB_LOCAL, elf.STB_GLOBAL, elf.STB_WEAK, stbGNUUnique}
	names := []string{"f", "__f", "_g", "gg", "h@V1", ".L", "$d.x", "", "kkkk"}
	for seed := range uint64(1200) {
		rng := rand.New(rand.NewPCG(7, seed))
		random := func() []testelf.Symbol {
			var out []testelf.Symbol
			for range rng.IntN(10) {
				s := sy(names[rng.IntN(len(names))], text+rng.Uint64N(40), rng.Uint64N(20), types[rng.IntN(len(types))], binds[rng.IntN(len(binds))])
				if rng.IntN(3) == 0 {
					s.Size = 0
				}
				if rng.IntN(8) == 0 {
					s.Section = ".fini"
				}
				out = append(out, s)
			}
			return out
		}
		f := testFile(random(), random())
		f.Sections[0].Data = make([]byte, 32)
		f.Sections[1].Addr, f.Sections[1].Data = text+32, make([]byte, 16)
		if rng.IntN(4) == 0 {
			f.Machine, f.Class = elf.EM_ARM, elf.ELFCLASS32
		}
		b := f.Bytes()
		ef, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		ref := newReference(ef)
		for addr := uint64(text - 1); addr < text+50; addr++ {
			want := "-"
			if s, ok := ref.lookup(addr); ok {
				want = fmt.Sprintf("%s+%#x", s.name, addr-s.value)
			}
			if got := lookups(t, b, addr); got != want {
				t.Fatalf("seed %d, %#x: %s, want %s\n.symtab %+v\n.dynsym %+v", seed, addr, got, want, f.Symbols, f.DynSyms)
			}
		}
	}
}
