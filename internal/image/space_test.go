package image_test

import (
	"debug/elf"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/maps"
)

const (
	progAt = 0x400000
	libAt  = 0x7f0000000000
)

// What lies at an address: file, load bias, symbol.
func TestLocate(t *testing.T) {
	dir := t.TempDir()
	src := &source{files: map[string]string{
		"/bin/prog":    write(t, dir, "prog", libOf(elf.ELFCLASS64, progAt, "prog").Bytes()),
		"/lib/lib.so":  write(t, dir, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes()),
		"/bin/script":  write(t, dir, "script", []byte("#!/bin/sh\nexit 0\n# not an ELF file\n")),
		"/tmp/segless": write(t, dir, "segless", libOf(elf.ELFCLASS64, 0, "x").Bytes()),
	}}
	m := parse(t, "%s%s%s"+
		"7f0000010000-7f0000011000 r-xp 00000000 08:01 13 /bin/script\n"+
		"7f0000012000-7f0000013000 r-xp 00100000 08:01 14 /tmp/segless\n"+
		"7f0000014000-7f0000015000 r-xp 00000000 08:01 15 /gone\n"+
		"7f0000016000-7f0000017000 rwxp 00000000 00:00 0 \n"+
		"7f0000018000-7f0000019000 rw-p 00000000 00:00 0 \n"+
		"7f000001a000-7f000001b000 rwxp 00000000 00:00 0 [anon:jit]\n"+
		"7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n"+
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n",
		libMaps(progAt, "/bin/prog", 11), libMaps(libAt, "/lib/lib.so", 12), libMaps(libAt+0x8000, "/lib/lib.so", 12))
	s := image.NewSpace(m, src, new(image.Cache))
	for _, tt := range []struct {
		addr   uint64
		path   string // of the module; "-": none
		exec   bool
		bias   uint64
		symbol string
		err    string
	}{
		{progAt + 0x1000, "/bin/prog", true, 0, "first+0", ""},
		{progAt + 0x107f, "/bin/prog", true, 0, "second+3f", ""},
		{progAt + 0x1080, "/bin/prog", true, 0, "", ""},
		{progAt, "/bin/prog", false, 0, "", ""},
		{progAt - 1, "-", false, 0, "", ""},
		{progAt + 0x2000, "-", false, 0, "", ""},
		{progAt + 0x3000, "/bin/prog", false, 0, "", ""},
		{libAt + 0x1044, "/lib/lib.so", true, libAt, "second+4", ""},
		{libAt + 0x3000, "/lib/lib.so", false, libAt, "", ""},
		{libAt + 0x8000 + 0x1044, "/lib/lib.so", true, libAt + 0x8000, "second+4", ""},
		{libAt + 0x10000, "/bin/script", true, 0, "", "/bin/script"},
		{libAt + 0x12000, "/tmp/segless", true, 0, "", "no segment"},
		{libAt + 0x14000, "/gone", true, 0, "", "/gone"},
		{libAt + 0x16000, "", true, 0, "", ""},
		{libAt + 0x18000, "-", false, 0, "", ""},
		{libAt + 0x1a000, "", true, 0, "", ""},
		{0x7ffffffde000, "-", false, 0, "", ""},
		{0xffffffffff600000, "[vsyscall]", true, 0, "", "[vsyscall]"},
		{0, "-", false, 0, "", ""},
		{^uint64(0), "-", false, 0, "", ""},
	} {
		p := s.Locate(tt.addr)
		if tt.path == "-" {
			if p.Mapping != nil || p.Module != nil || p.Image != nil {
				t.Errorf("%x: %+v, want nothing", tt.addr, p)
			}
			continue
		}
		path := ""
		if p.Module != nil {
			path = p.Module.Path
		}
		if path != tt.path || p.Mapping == nil || !p.Mapping.Contains(tt.addr) {
			t.Errorf("%x: in %q (%v), want %q", tt.addr, path, p.Mapping, tt.path)
		}
		if s.Executable(tt.addr) != tt.exec {
			t.Errorf("%x: executable %v", tt.addr, !tt.exec)
		}
		if got := symbolAt(p, tt.addr); got != tt.symbol {
			t.Errorf("%x: %q, want %q", tt.addr, got, tt.symbol)
		}
		if p.Image != nil && p.Bias != tt.bias {
			t.Errorf("%x: bias %x, want %x", tt.addr, p.Bias, tt.bias)
		}
		if (p.Err != nil) != (tt.err != "") || p.Err != nil && (p.Image != nil || !strings.Contains(p.Err.Error(), tt.err)) {
			t.Errorf("%x: error %v, image %v", tt.addr, p.Err, p.Image)
		}
	}
	// A file that is mapped three times over is one module, opened once.
	if n := len(s.Modules()); n != 6 {
		t.Errorf("%d modules", n)
	}
	if src.opens != 5 {
		t.Errorf("%d files opened", src.opens)
	}
}

// 32-bit addresses wrap around at 2^32, where a library is linked high up.
func TestLocate32(t *testing.T) {
	const linked, at = 0xf0000000, 0x08048000
	dir := t.TempDir()
	src := &source{files: map[string]string{"/lib/high.so": write(t, dir, "high.so", libOf(elf.ELFCLASS32, linked, "").Bytes())}}
	s := image.NewSpace(parse(t, "%s", libMaps(at, "/lib/high.so", 12)), src, new(image.Cache))
	p := s.Locate(at + 0x1044)
	if got := symbolAt(p, at+0x1044); got != "second+4" {
		t.Errorf("%q, bias %x, %v", got, p.Bias, p.Err)
	}
	if start, ok := s.FuncStart(at + 0x1044); !ok || start != at+0x1040 {
		t.Errorf("the function starts at %x, %v", start, ok)
	}
	if addr, ok := s.Resolve("high.so", linked+0x1044); !ok || addr != at+0x1044 {
		t.Errorf("resolved to %x, %v", addr, ok)
	}
	if n := s.PtrSize(); n != 4 {
		t.Errorf("pointers of %d bytes", n)
	}
}

// A gate line may name addresses that something else is mapped at.
func TestGateLineOverMapping(t *testing.T) {
	dir := t.TempDir()
	src := &source{files: map[string]string{"/lib/lib.so": write(t, dir, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())}}
	s := image.NewSpace(parse(t, "%s7f0000000000-7f0000008000 ---p 00000000 00:00 0          /gate.so\n",
		libMaps(libAt, "/lib/lib.so", 12)), src, new(image.Cache))
	for addr, path := range map[uint64]string{
		libAt:                 "/lib/lib.so",
		libAt + 0x1000:        "/lib/lib.so",
		libAt + 0x2000:        "/gate.so", // between the segments
		libAt + 0x3000:        "/lib/lib.so",
		libAt + 0x4000:        "/gate.so",
		libAt + 0x8000 - 1:    "/gate.so",
		libAt + 0x8000:        "",
		libAt - 1:             "",
		0xa000000000020640:    "",
		0xffffffffffffffff:    "",
		libAt + 0x1000 + 1<<4: "/lib/lib.so",
	} {
		got := ""
		p := s.Locate(addr)
		if p.Module != nil {
			got = p.Module.Path
		}
		if got != path {
			t.Errorf("%x: %q, want %q", addr, got, path)
		}
		if path == "/gate.so" && (!s.Executable(addr) || p.Module.Gate != maps.Line) {
			t.Errorf("%x: %v, executable %v", addr, p.Module.Gate, s.Executable(addr))
		}
	}
}

// Hostile maps: empty and reversed lines, overlaps of any depth.
func TestHostileMaps(t *testing.T) {
	src := &source{}
	for _, text := range []string{
		"",
		"1000-1000 r-xp 00000000 00:00 0 \n",
		"0-ffffffffffffffff r-xp 00000000 08:01 1 /all\n1000-2000 r-xp 00000000 08:01 2 /in\n",
		"1000-9000 r-xp 00000000 08:01 1 /a\n2000-3000 r-xp 00000000 08:01 2 /b\n2000-8000 r-xp ffffffffffff0000 08:01 2 /c\n",
		"1000-9000 ---p 00000000 00:00 0 [vdso]\n1000-9000 ---p 00000000 00:00 0 [vdso]\n",
	} {
		m, err := maps.Parse([]byte(text))
		if err != nil {
			continue
		}
		s := image.NewSpace(m, src, new(image.Cache))
		var b [64]byte
		for addr := uint64(0); addr < 0xa000; addr += 0x400 {
			p := s.Locate(addr)
			if p.Image != nil || p.Mapping != nil && !p.Mapping.Contains(addr) {
				t.Errorf("%q: %x: %+v", text, addr, p)
			}
			s.Executable(addr)
			s.Row(addr, false)
			s.Text(addr, b[:])
			s.FuncStart(addr)
		}
		s.PtrSize()
		s.Prepare()
		s.Close()
	}
}

// Code is read from the file, but where it can be written to from memory.
func TestText(t *testing.T) {
	dir := t.TempDir()
	f := libOf(elf.ELFCLASS64, 0, "lib")
	copy(f.Sections[0].Data, "code in the file")
	src := &source{
		files: map[string]string{"/lib/lib.so": write(t, dir, "lib.so", padded(f.Bytes(), 0x3000))},
		mem: []memory{
			{libAt + 0x1000, []byte("code in memory")},
			{libAt + 0x10000, []byte("anonymous code")},
			{libAt + 0x21000, []byte("writable code!")},
		},
	}
	s := image.NewSpace(parse(t, "%s7f0000010000-7f0000011000 rwxp 00000000 00:00 0 \n"+
		"7f0000021000-7f0000022000 rwxp 00001000 08:01 12 /lib/lib.so\n",
		libMaps(libAt, "/lib/lib.so", 12)), src, new(image.Cache))
	for addr, want := range map[uint64]string{
		libAt + 0x1000:  "code in the fi",
		libAt + 0x1005:  "in the file\x00\x00\x00",
		libAt + 0x10000: "anonymous code",
		libAt + 0x21000: "writable code!",
		libAt + 0x40000: "",
	} {
		b := make([]byte, 14)
		if got := string(b[:s.Text(addr, b)]); got != want {
			t.Errorf("%x: %q, want %q", addr, got, want)
		}
	}
	// Less than asked for where the segment ends.
	b := make([]byte, 64)
	if n := s.Text(libAt+0x2000-16, b); n != 16 {
		t.Errorf("%d bytes at the end of the text", n)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	src := &source{files: map[string]string{
		"/bin/prog":   write(t, dir, "prog", libOf(elf.ELFCLASS64, progAt, "prog").Bytes()),
		"/lib/lib.so": write(t, dir, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes()),
	}}
	s := image.NewSpace(parse(t, "%s%s%s",
		libMaps(progAt, "/bin/prog", 11), libMaps(libAt, "/lib/lib.so", 12), libMaps(libAt+0x8000, "/lib/gone.so", 13)), src, new(image.Cache))
	for _, tt := range []struct {
		name string
		off  uint64
		want uint64 // 0: not found
	}{
		{"/bin/prog", progAt + 0x1010, progAt + 0x1010},
		{"prog", progAt + 0x1010, progAt + 0x1010},
		{"prog", 0x1010, 0},
		{"lib.so", 0x1044, libAt + 0x1044},
		{"/lib/lib.so", 0x3010, libAt + 0x3010},
		{"lib.so", 0x2010, 0},
		{"lib.so", 1 << 40, 0},
		{"lib", 0x1044, 0},
		{"", 0x1044, 0},
		// Without its file a module's offsets are those in the file.
		{"gone.so", 0x1044, libAt + 0x9044},
		{"gone.so", 0x2044, libAt + 0xb044},
		{"gone.so", 0x3044, 0},
	} {
		got, ok := s.Resolve(tt.name, tt.off)
		if got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%s+%x: %x, %v, want %x", tt.name, tt.off, got, ok, tt.want)
		}
	}
}

func TestPtrSize(t *testing.T) {
	dir := t.TempDir()
	src := &source{files: map[string]string{
		"/bin/prog32": write(t, dir, "prog32", libOf(elf.ELFCLASS32, 0, "").Bytes()),
		"/bin/prog64": write(t, dir, "prog64", libOf(elf.ELFCLASS64, 0, "").Bytes()),
	}}
	for _, tt := range []struct {
		maps string
		want int
	}{
		{"", 4},
		{libMaps(0x10000, "/bin/prog64", 1), 8},
		{libMaps(0x10000, "/bin/prog32", 1), 4},
		{libMaps(0x10000, "/bin/gone", 1), 4},
		{libMaps(libAt, "/bin/gone", 1), 8},
		{libMaps(0xfffff000-0x4000, "/bin/gone", 1) + "fffff000-100000000 rw-p 00000000 00:00 0 [stack]\n", 4},
		{"10000-11000 r--p 00000000 08:01 9 /data/file64\n" + libMaps(0x20000, "/bin/prog32", 1), 4},
	} {
		s := image.NewSpace(parse(t, "%s", tt.maps), src, new(image.Cache))
		if got := s.PtrSize(); got != tt.want {
			t.Errorf("%d bytes, want %d:\n%s", got, tt.want, tt.maps)
		}
	}
}

// Prepare holds on to files that are then replaced; nothing is opened after Close.
func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	unused := write(t, dir, "unused.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	src := &source{files: map[string]string{"/lib/lib.so": path, "/lib/unused.so": unused}}
	before := descriptors(t)
	cache := new(image.Cache)
	s := image.NewSpace(parse(t, "%s%s7f0000020000-7f0000021000 r--p 00000000 08:01 14 /data\n",
		libMaps(libAt, "/lib/lib.so", 12), libMaps(libAt+0x8000, "/lib/unused.so", 13)), src, cache)
	s.Prepare()
	s.Prepare()
	if src.opens != 2 {
		t.Errorf("%d files opened, want those with code, once", src.opens)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "lib.so", []byte("something else"))
	p := s.Locate(libAt + 0x1044)
	if got := symbolAt(p, libAt+0x1044); got != "second+4" || p.Module.Via() != "test" {
		t.Errorf("%q by %q: %v", got, p.Module.Via(), p.Err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d file descriptors, %d before", after, before)
	}
	s.Close()
	if p := s.Locate(libAt + 0x20000); p.Image != nil || p.Err == nil {
		t.Errorf("opened after it was closed: %+v", p)
	}
}

// Parsed opens nothing and parses nothing, whatever it is asked.
func TestParsed(t *testing.T) {
	for _, cached := range []bool{false, true} {
		dir := t.TempDir()
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		src := &source{files: map[string]string{"/lib/lib.so": write(t, dir, "lib.so", data)}}
		im, err := elfsym.New(data, "test")
		if err != nil {
			t.Fatal(err)
		}
		var text elfsym.Segment
		for _, s := range im.Segments() {
			if s.Flags&elf.PF_X != 0 {
				text = s
			}
		}
		m := parse(t, "%x-%x r-xp %x 08:01 12 /lib/lib.so\n", text.Vaddr, text.Vaddr+(text.Filesz+0xfff)&^0xfff, text.Off)
		cache := new(image.Cache)
		if cached { // another process has opened the file, but not unwound through it
			image.NewSpace(m, src, cache).Locate(text.Vaddr)
			src.opens = 0
		}
		s := image.NewSpace(m, src, cache)
		code, pc := s.Parsed(), withRow(t, m, src, text)
		src.opens = 0
		if cached {
			s.Locate(pc)
			src.opens = 0
		}
		ask := func() bool {
			row, _ := code.Row(pc, true)
			code.Text(pc, make([]byte, 8))
			code.FuncStart(pc)
			return row != nil
		}
		if ask() || src.opens != 0 || !code.Executable(pc) {
			t.Errorf("cached %v: before Prepare: a row, or %d files were opened", cached, src.opens)
		}
		s.Prepare()
		opens := src.opens
		if !ask() || src.opens != opens {
			t.Errorf("cached %v: after Prepare: no row, or %d files were opened", cached, src.opens-opens)
		}
		s.Close()
	}
}

// withRow returns an address of a file that has a row: assembly functions may have none.
func withRow(t *testing.T, m *maps.Map, src *source, text elfsym.Segment) uint64 {
	t.Helper()
	s := image.NewSpace(m, src, new(image.Cache))
	defer s.Close()
	s.Prepare()
	for pc := text.Vaddr + text.Filesz/2; pc < text.Vaddr+text.Filesz; pc += 16 {
		if row, _ := s.Parsed().Row(pc, true); row != nil {
			return pc
		}
	}
	t.Fatal("no address has a row")
	return 0
}

// A cache keeps what is in use, and of the rest what was used last.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	lib := libOf(elf.ELFCLASS64, 0, "lib").Bytes()
	src := &source{files: make(map[string]string)}
	cache := new(image.Cache)
	space := func(i int) *image.Space {
		path := fmt.Sprintf("/lib/%d.so", i)
		if src.files[path] == "" {
			src.files[path] = write(t, dir, fmt.Sprint(i), lib)
		}
		s := image.NewSpace(parse(t, "%s", libMaps(libAt, path, 12)), src, cache)
		s.Prepare()
		return s
	}
	inUse := space(0)
	first := space(1)
	old := first.Locate(libAt + 0x1044).Image
	first.Close()
	for i := 2; i < 400; i++ {
		space(i).Close()
		if n := mappings(t, dir); n > 300 {
			t.Fatalf("%d files are mapped", n)
		}
	}
	if got := symbolAt(inUse.Locate(libAt+0x1044), libAt+0x1044); got != "second+4" {
		t.Errorf("the image in use: %q", got)
	}
	again := space(399)
	if n := mappings(t, dir); n > 300 {
		t.Errorf("%d files are mapped", n)
	}
	again.Close()
	if im := space(1).Locate(libAt + 0x1044).Image; im == old {
		t.Error("the image that was idle for the longest is still there")
	}
}

// A file that was written to in place is another one.
func TestCacheOfChangedFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	src := &source{files: map[string]string{"/lib/lib.so": path}}
	cache := new(image.Cache)
	locate := func() *image.Image {
		return image.NewSpace(parse(t, "%s", libMaps(libAt, "/lib/lib.so", 12)), src, cache).Locate(libAt + 0x1044).Image
	}
	first := locate()
	if locate() != first {
		t.Error("the same file is opened twice")
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if locate() == first {
		t.Error("a file with another time of modification is taken for the same")
	}
}

// mappings counts the files below dir that this process has mapped.
func mappings(t *testing.T, dir string) int {
	t.Helper()
	m, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(m), dir+"/")
}

func descriptors(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

// Spaces with one cache share images; a file that is another one is not shared.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	same := dir + "/same.so"
	if err := os.Link(path, same); err != nil {
		t.Fatal(err)
	}
	other := write(t, dir, "other.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	cache := new(image.Cache)
	imageOf := func(path string) *image.Image {
		src := &source{files: map[string]string{"/lib.so": path}}
		s := image.NewSpace(parse(t, "%s", libMaps(libAt, "/lib.so", 12)), src, cache)
		return s.Locate(libAt + 0x1000).Image
	}
	a, b, c := imageOf(path), imageOf(same), imageOf(other)
	if a == nil || a != b || a == c || c == nil {
		t.Errorf("images %p, %p, %p", a, b, c)
	}
}

// The image that names a gate stands for memory that cannot be read.
func TestSetImage(t *testing.T) {
	const at = 0xa000000000020000
	im := libOf(elf.ELFCLASS64, at, "gate")
	mapped := openImage(t, im)
	s := image.NewSpace(parse(t, "%s%x-%x ---p 00000000 00:00 0          /gate.so\n",
		libMaps(libAt, "/lib/lib.so", 12), uint64(at), uint64(at+0x4000)), &source{}, new(image.Cache))
	for _, m := range s.Modules() {
		if m.Gate == maps.Line {
			// Asking for the build ID of what cannot be read must not
			// settle that there is no image.
			if id := m.MappedBuildID(); id != nil {
				t.Errorf("build ID %x", id)
			}
			m.SetImage(mapped, "gate DSO")
			if m.Via() != "gate DSO" {
				t.Errorf("from %q", m.Via())
			}
		}
	}
	p := s.Locate(at + 0x1044)
	if got := symbolAt(p, at+0x1044); got != "second+4" || p.Bias != 0 {
		t.Errorf("%q, bias %x, %v", got, p.Bias, p.Err)
	}
}

func openImage(t testing.TB, f testelf.File) *image.Image {
	t.Helper()
	src := &source{files: map[string]string{"/x": write(t, t.TempDir(), "x", f.Bytes())}}
	s := image.NewSpace(parse(t, "%s", libMaps(libAt, "/x", 12)), src, new(image.Cache))
	im, err := s.Modules()[0].Image()
	if err != nil {
		t.Fatal(err)
	}
	return im
}
