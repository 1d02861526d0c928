package annotate

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// The files of the tests hold the same functions, at 1100 and what follows
// above their base: an address that ends in 1200 is <second+0x0> if it is
// exact, and <first+0x100> if it is a return address.
//
//	/lib/libfoo.so    base 0, mapped at 7f0000000000
//	/lib/libbar.so    base 10000 (prelinked), mapped at 7f1000000000
//	/bin/prog         base 400000, position dependent
const sampleMaps = `00400000-00401000 r--p 00000000 fe:00 3 /bin/prog
00401000-00403000 r-xp 00001000 fe:00 3 /bin/prog
7f0000000000-7f0000001000 r--p 00000000 fe:00 1 /lib/libfoo.so
7f0000001000-7f0000003000 r-xp 00001000 fe:00 1 /lib/libfoo.so
7f1000000000-7f1000001000 r--p 00000000 fe:00 2 /lib/libbar.so
7f1000001000-7f1000003000 r-xp 00001000 fe:00 2 /lib/libbar.so
7f2000000000-7f2000001000 rwxp 00000000 00:00 0 
`

const fooID = "00112233445566778899aabbccddeeff00112233"

func sampleFile(base uint64, typ elf.Type, machine elf.Machine, class elf.Class) []byte {
	f := testelf.File{Base: base, Type: typ, Machine: machine, Class: class, BuildID: []byte{
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33,
	}}
	f.Sections = []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: base + 0x1100, Data: make([]byte, 0x1400)}}
	for i, name := range []string{"first", "second", "__restore_rt", "_Z5thirdi", "last"} {
		f.Symbols = append(f.Symbols, testelf.Symbol{
			Name: name, Value: base + 0x1100 + uint64(i)*0x100, Size: 0x100,
			Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text",
		})
	}
	f.Segments = []testelf.Segment{
		{Type: elf.PT_LOAD, Flags: elf.PF_R, Vaddr: base, Filesz: 0x1000, Align: 0x1000},
		{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Off: 0x1000, Vaddr: base + 0x1000, Filesz: 0x1500, Align: 0x1000},
	}
	return f.Bytes()
}

// sysroot makes the files.
func sysroot(t testing.TB) string {
	root := t.TempDir()
	for name, data := range map[string][]byte{
		"/lib/libfoo.so": sampleFile(0, elf.ET_DYN, elf.EM_X86_64, elf.ELFCLASS64),
		"/lib/libbar.so": sampleFile(0x10000, elf.ET_DYN, elf.EM_X86_64, elf.ELFCLASS64),
		"/bin/prog":      sampleFile(0x400000, elf.ET_EXEC, elf.EM_X86_64, elf.ELFCLASS64),
		"/bin/prog32":    sampleFile(0x8048000, elf.ET_EXEC, elf.EM_386, elf.ELFCLASS32),
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func names() symbolize.Options { return symbolize.Options{Debug: &debugfile.Finder{}} }

// mapped is the target of sampleMaps.
func mapped(t testing.TB, root, text string) Target {
	m, err := maps.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := image.NewSpace(m, &image.Files{Maps: m, Sysroot: root}, new(image.Cache))
	sym, err := symbolize.New(s, names())
	if err != nil {
		t.Fatal(err)
	}
	return Space(s, sym)
}

// program is an ELF file as the target.
func program(t testing.TB, path string) Target {
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return Image(image.NewImage(im), path, symbolize.NewForImage(names()))
}

// run filters a text with one goroutine and all at once, and with several and
// byte by byte, so that each line is a piece of its own.
func run(t testing.TB, o Options, in string) string {
	t.Helper()
	if o.Names == nil {
		o.Names = names
	}
	o.Workers = 1
	whole := runFrom(t, o, strings.NewReader(in))
	o.Workers = 3
	lines := runFrom(t, o, iotest.OneByteReader(strings.NewReader(in)))
	if whole != lines {
		t.Errorf("the text in one piece:\n%s\nline by line:\n%s", whole, lines)
	}
	return whole
}

func runFrom(t testing.TB, o Options, r io.Reader) string {
	t.Helper()
	if o.Append == nil {
		o.Append = new(text.Options).AppendName
	}
	var out bytes.Buffer
	if err := Run(r, &out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
