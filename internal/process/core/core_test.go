package core

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatedso/bt/internal/testcore"
	"github.com/gatedso/bt/maps"
)

// small is a process with two threads: a program, an anonymous mapping, code of
// no file, the vDSO and a stack.
func small() *testcore.Core {
	c := &testcore.Core{}
	head := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 93)...)
	c.Loads = []testcore.Load{
		{Addr: 0x400000, Memsz: 0x2000, Filesz: 0x1000, Data: head, Flags: elf.PF_R | elf.PF_X},
		{Addr: 0x600000, Filesz: 0x1000, Data: []byte("data"), Flags: elf.PF_R | elf.PF_W},
		{Addr: 0x700000, Memsz: 0x3000, Flags: elf.PF_R},
		{Addr: 0x7ffe0000, Filesz: 0x3000, Data: bytes.Repeat([]byte("12345678"), 0x100), Flags: elf.PF_R | elf.PF_W},
		{Addr: 0x7fff0000, Filesz: 0x1000, Data: head, Flags: elf.PF_R | elf.PF_X},
	}
	c.Notes = []testcore.Note{
		c.AMD64(101, 11, 0x400123, 0x7ffe0100),
		c.Process(100, "prog", "./prog -x y "),
		{Type: testcore.Siginfo, Desc: append([]byte{11, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 119)...)},
		c.Auxv(atSysinfoEhdr, 0x7fff0000, atRandom, 0x7ffe2f00, atPhdr, 0x400040, atPagesz, 4096),
		c.Files(
			testcore.Mapped{Start: 0x400000, End: 0x402000, Path: "/bin/prog"},
			testcore.Mapped{Start: 0x600000, End: 0x601000, Offset: 0x3000, Path: "/bin/prog"},
			testcore.Mapped{Start: 0x700000, End: 0x701000, Offset: 0x1000, Path: "/lib/gone.so (deleted)"}),
		{Type: testcore.FPRegset, Desc: make([]byte, 512)},
		{Name: "LINUX", Type: 0x202, Desc: make([]byte, 2696)},
		c.AMD64(100, 11, 0x400456, 0x7ffe0800),
		{Type: testcore.FPRegset, Desc: make([]byte, 512)},
	}
	return c
}

func TestNew(t *testing.T) {
	f, err := New(small().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if f.PID != 100 || f.Comm != "prog" || f.Args != "./prog -x y" || f.Missing != 0 || len(f.Problems) != 0 || f.Partial {
		t.Errorf("%+v", f)
	}
	if len(f.Threads) != 2 {
		t.Fatalf("%d threads", len(f.Threads))
	}
	died, main := &f.Threads[0], &f.Threads[1]
	if died.TID != 101 || died.Name != "" || died.PC != 0x400123 || died.SP != 0x7ffe0100 || died.Signal != 11 || len(died.Siginfo) != 128 || !died.HasRegs {
		t.Errorf("%+v", died)
	}
	if main.TID != 100 || main.Name != "prog" || main.PC != 0x400456 || main.Siginfo != nil {
		t.Errorf("%+v", main)
	}
	if pc, ok := main.Regs.Get(main.Arch.PC); !ok || pc != 0x400456 {
		t.Errorf("pc %#x, %v", pc, ok)
	}
	if f.Program() != "/bin/prog" {
		t.Errorf("program %q", f.Program())
	}

	var text []byte
	m := f.Maps()
	for i := range m.Entries {
		text = append(maps.AppendLine(text, &m.Entries[i]), '\n')
	}
	want := `
00400000-00402000 r-xp 00000000 00:00 1                                  /bin/prog
00600000-00601000 rw-p 00003000 00:00 1                                  /bin/prog
00700000-00701000 r--p 00001000 00:00 2                                  /lib/gone.so (deleted)
00701000-00703000 r--p 00000000 00:00 0 
7ffe0000-7ffe3000 rw-p 00000000 00:00 0                                  [stack]
7fff0000-7fff1000 r-xp 00000000 00:00 0                                  [vdso]
`
	if diff := cmp.Diff(want[1:], string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestReadMemory(t *testing.T) {
	f, err := New(small().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr uint64
		size int
		want int
	}{
		{0x600000, 4, 4},
		{0x600ffc, 8, 4}, // the mapping ends
		{0x400fff, 2, 1}, // the dumped part ends
		{0x401000, 1, 0}, // not dumped
		{0x700000, 1, 0},
		{0x5fffff, 2, 0},
		{0, 1, 0},
		{^uint64(0), 2, 0},
		{0x600000, 0, 0},
	} {
		n, err := f.ReadMemory(tt.addr, make([]byte, tt.size))
		if n != tt.want || (err == nil) != (n == tt.size) {
			t.Errorf("%d bytes at %#x: %d, %v", tt.size, tt.addr, n, err)
		}
	}
	more := func(addr uint64, b []byte) int { return copy(b, "\x11\x22\x33\x44") }
	mem := f.Memory(more)
	for _, tt := range []struct {
		addr uint64
		size int
		want uint64
	}{
		{0x600000, 4, 0x61746164},
		{0x600001, 2, 0x7461},
		{0x7ffe0000, 8, 0x3837363534333231},
		{0x7ffe0004, 8, 0x3433323138373635},
		{0x400ffe, 4, 0x22110000}, // half of it from more
		{0x401000, 4, 0x44332211},
	} {
		if v, ok := mem.Word(tt.addr, tt.size); !ok || v != tt.want {
			t.Errorf("word of %d bytes at %#x: %#x, %v", tt.size, tt.addr, v, ok)
		}
	}
	if v, ok := mem.Word(0x500000, 8); ok {
		t.Errorf("8 bytes of 4: %#x", v)
	}
	if _, ok := f.Memory(nil).Word(0x500000, 8); ok {
		t.Error("memory from nowhere")
	}
}

// Where the kernel of each machine puts what is read. The sizes and offsets
// are those of the C structures, in bytes.
func TestMachines(t *testing.T) {
	be, le := binary.ByteOrder(binary.BigEndian), binary.ByteOrder(binary.LittleEndian)
	for _, tt := range []struct {
		name         string
		machine      elf.Machine
		class        elf.Class
		order        binary.ByteOrder
		flags        uint32
		size         int // of struct elf_prstatus
		pid, pc, sp  int
		word         int
		unwound      bool
		wantedPCMask uint64
	}{
		{"x86-64", elf.EM_X86_64, elf.ELFCLASS64, le, 0, 336, 32, 240, 264, 8, true, 0},
		{"x32", elf.EM_X86_64, elf.ELFCLASS32, le, 0, 296, 24, 200, 224, 8, false, 0},
		{"i386", elf.EM_386, elf.ELFCLASS32, le, 0, 144, 24, 120, 132, 4, true, 0},
		{"ARM", elf.EM_ARM, elf.ELFCLASS32, le, 0, 148, 24, 132, 124, 4, true, 0},
		{"ARM", elf.EM_ARM, elf.ELFCLASS32, be, 0, 148, 24, 132, 124, 4, false, 0},
		{"AArch64", elf.EM_AARCH64, elf.ELFCLASS64, le, 0, 392, 32, 368, 360, 8, true, 0},
		{"ppc64", elf.EM_PPC64, elf.ELFCLASS64, be, 0, 504, 32, 368, 120, 8, false, 0},
		{"ppc64", elf.EM_PPC64, elf.ELFCLASS64, le, 0, 504, 32, 368, 120, 8, false, 0},
		{"ppc", elf.EM_PPC, elf.ELFCLASS32, be, 0, 268, 24, 200, 76, 4, false, 0},
		{"s390x", elf.EM_S390, elf.ELFCLASS64, be, 0, 336, 32, 120, 248, 8, false, 0},
		{"RISC-V", elf.EM_RISCV, elf.ELFCLASS64, le, 0, 376, 32, 112, 128, 8, false, 0},
		{"RISC-V", elf.EM_RISCV, elf.ELFCLASS32, le, 0, 204, 24, 72, 80, 4, false, 0},
		{"MIPS", elf.EM_MIPS, elf.ELFCLASS32, be, 0, 256, 24, 232, 212, 4, false, 0},
		{"MIPS", elf.EM_MIPS, elf.ELFCLASS32, le, 0x20, 440, 24, 344, 304, 8, false, 0},
		{"MIPS", elf.EM_MIPS, elf.ELFCLASS64, be, 0, 480, 32, 384, 344, 8, false, 0},
		{"LoongArch", elf.EM_LOONGARCH, elf.ELFCLASS64, le, 0, 480, 32, 376, 136, 8, false, 0},
		{"EM_68K", elf.EM_68K, elf.ELFCLASS32, be, 0, 154, 22, 142, 130, 4, false, 0},
		{"Alpha", elf.EM_ALPHA, elf.ELFCLASS64, le, 0, 384, 32, 360, 352, 8, false, 0},
		{"SPARC", elf.EM_SPARCV9, elf.ELFCLASS64, be, 0, 408, 32, 376, 224, 8, false, 0},
		{"EM_PARISC", elf.EM_PARISC, elf.ELFCLASS32, be, 0, 396, 24, 232, 192, 4, false, 3},
	} {
		desc := make([]byte, tt.size)
		put := func(at int, v uint64) {
			if tt.word == 8 {
				tt.order.PutUint64(desc[at:], v)
			} else {
				tt.order.PutUint32(desc[at:], uint32(v))
			}
		}
		tt.order.PutUint16(desc[12:], 6)
		tt.order.PutUint32(desc[tt.pid:], 4711)
		put(tt.pc, 0x12345678|tt.wantedPCMask)
		put(tt.sp, 0x7fff1230)
		c := testcore.Core{Machine: tt.machine, Class: tt.class, Order: tt.order, Flags: tt.flags,
			Notes: []testcore.Note{{Type: testcore.PRStatus, Desc: desc}}}
		f, err := New(c.Bytes())
		if err != nil || len(f.Threads) != 1 || len(f.Problems) != 0 {
			t.Errorf("%s: %+v, %v", tt.name, f, err)
			continue
		}
		th := f.Threads[0]
		if !th.HasPC || th.PC != 0x12345678 || th.SP != 0x7fff1230 || th.TID != 4711 || th.Signal != 6 || f.PID != 4711 {
			t.Errorf("%s: %+v", tt.name, th)
		}
		if (th.Arch != nil) != tt.unwound || th.HasRegs != tt.unwound || (th.Machine == "") != tt.unwound {
			t.Errorf("%s: arch %v, machine %q", tt.name, th.Arch, th.Machine)
		}
		if f.MachineName() != tt.name {
			t.Errorf("%s is called %s", tt.name, f.MachineName())
		}
	}
}

// A machine that nobody knows has threads all the same.
func TestUnknownMachine(t *testing.T) {
	c := testcore.Core{Machine: 0x4242}
	c.Notes = []testcore.Note{c.AMD64(7, 4, 1, 2)}
	f, err := New(c.Bytes())
	if err != nil || len(f.Threads) != 1 || f.Threads[0].HasPC || f.Threads[0].TID != 7 || len(f.Problems) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestPRPSInfo32(t *testing.T) {
	for _, tt := range []struct {
		size, uid, pid, name int
		uid16                bool
	}{{124, 8, 12, 28, true}, {128, 8, 16, 32, false}} {
		desc := make([]byte, tt.size)
		if tt.uid16 {
			binary.BigEndian.PutUint16(desc[tt.uid:], 1000)
		} else {
			binary.BigEndian.PutUint32(desc[tt.uid:], 1000)
		}
		binary.BigEndian.PutUint32(desc[tt.pid:], 99)
		copy(desc[tt.name:], "exactly-16-chars")
		copy(desc[tt.name+16:], strings.Repeat("a", 80))
		c := testcore.Core{Machine: elf.EM_PPC, Class: elf.ELFCLASS32, Order: binary.BigEndian,
			Notes: []testcore.Note{{Type: testcore.PRPSInfo, Desc: desc}}}
		f, err := New(c.Bytes())
		if err != nil || f.PID != 99 || f.UID != 1000 || f.Comm != "exactly-16-chars" || len(f.Args) != 80 {
			t.Errorf("%d bytes: %+v, %v", tt.size, f, err)
		}
	}
}

// MIPS has code and errno of a siginfo_t the other way round.
func TestMIPSSiginfo(t *testing.T) {
	c := testcore.Core{Machine: elf.EM_MIPS, Order: binary.BigEndian}
	c.Notes = []testcore.Note{
		c.Thread(testcore.Thread{TID: 1, Signal: 11, Words: 45}, 32, 112),
		{Type: testcore.Siginfo, Desc: append([]byte{0, 0, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0}, make([]byte, 116)...)},
	}
	f, err := New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Threads[0].Siginfo[:12]; !bytes.Equal(got, []byte{0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1}) {
		t.Errorf("% x", got)
	}
}

func TestNotCore(t *testing.T) {
	good := small().Bytes()
	edit := func(at int, b ...byte) []byte {
		d := slices.Clone(good)
		copy(d[at:], b)
		return d
	}
	for name, data := range map[string][]byte{
		"empty":         nil,
		"text":          []byte("this is no core file, but it is long enough to be one, says the man"),
		"header cut":    good[:63],
		"a program":     edit(16, byte(elf.ET_EXEC)),
		"a library":     edit(16, byte(elf.ET_DYN)),
		"an object":     edit(16, byte(elf.ET_REL)),
		"class":         edit(elf.EI_CLASS, 3),
		"byte order":    edit(elf.EI_DATA, 0),
		"small headers": edit(54, 8),
	} {
		if f, err := New(data); !errors.Is(err, ErrNotCore) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if f, err := Stream(bytes.NewReader(data), StreamOptions{}); !errors.Is(err, ErrNotCore) {
			t.Errorf("%s as a stream: %v, %v", name, f, err)
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrNotCore) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNotCore) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Open("/nonexistent/core"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := Open("/dev/zero"); !errors.Is(err, ErrNotCore) {
		t.Errorf("a device: %v", err)
	}
}

// More segments than e_phnum can count.
func TestManySegments(t *testing.T) {
	c := testcore.Core{Xnum: true}
	c.Notes = []testcore.Note{c.AMD64(1, 6, 0x1000, 0x2000)}
	const n = 70000
	for i := range uint64(n) {
		c.Loads = append(c.Loads, testcore.Load{Addr: i << 13, Memsz: 0x1000, Flags: elf.PF_R})
	}
	c.Loads[n-1].Data = []byte("the last one")
	data := c.Bytes()
	read := map[string]func([]byte) (*File, error){
		"mapped": New,
		"stream": func(b []byte) (*File, error) { return Stream(bytes.NewReader(b), StreamOptions{}) },
	}
	for name, read := range read {
		f, err := read(data)
		if err != nil || len(f.Segments) != n || len(f.Problems) != 0 {
			t.Fatalf("%s: %d segments, %v, %q", name, len(f.Segments), err, f.Problems)
		}
		b := make([]byte, 12)
		if k, err := f.ReadMemory((n-1)<<13, b); k != 12 || string(b) != "the last one" {
			t.Errorf("%s: %q, %v", name, b[:k], err)
		}
	}
	// Without the section header, which stands at the end, the notes tell.
	if f, err := New(data[:len(data)-64]); err != nil || len(f.Segments) != n {
		t.Errorf("cut: %d segments, %v", len(f.Segments), err)
	}
}

// Segments and files that overlap, as no kernel has them.
func TestOverlaps(t *testing.T) {
	c := testcore.Core{Loads: []testcore.Load{
		{Addr: 0x3000, Filesz: 0x2000, Data: []byte("second"), Flags: elf.PF_R},
		{Addr: 0x1000, Filesz: 0x3000, Data: []byte("first"), Flags: elf.PF_R},
		{Addr: ^uint64(0) - 0xfff, Filesz: 0x3000, Data: []byte("top"), Flags: elf.PF_R},
	}}
	c.Notes = []testcore.Note{c.Files(
		testcore.Mapped{Start: 0x2000, End: 0x6000, Path: "/a"},
		testcore.Mapped{Start: 0x1000, End: 0x3000, Path: "/b"},
		testcore.Mapped{Start: 0x1800, End: 0x2800, Path: "/c"},
		testcore.Mapped{Start: 0x9000, End: 0x8000, Path: "/d"},
	)}
	f, err := New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	m := f.Maps()
	var end uint64
	for _, e := range m.Entries {
		if e.Start < end || e.End <= e.Start {
			t.Errorf("%+v after %x", e, end)
		}
		end = e.End
	}
	b := make([]byte, 0x3000)
	if n, _ := f.ReadMemory(0x1000, b); n != 0x3000 || string(b[:5]) != "first" || b[0x2000] != 0 {
		t.Errorf("%d bytes, %q", n, b[:6])
	}
	if n, err := f.ReadMemory(^uint64(0)-0xfff, b); n > 0x1000 || err == nil {
		t.Errorf("beyond the end of all addresses: %d, %v", n, err)
	}
}

// The thread that a signal stopped is the first, also where it was not.
func TestOrder(t *testing.T) {
	c := testcore.Core{}
	c.Notes = []testcore.Note{c.AMD64(5, 0, 1, 1), c.AMD64(6, 11, 1, 1), c.AMD64(7, 0, 1, 1)}
	f, err := New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var tids []int
	for _, th := range f.Threads {
		tids = append(tids, th.TID)
	}
	if !slices.Equal(tids, []int{6, 5, 7}) || f.PID != 5 {
		t.Errorf("%v, process %d", tids, f.PID)
	}
}

// Each note that is missing is missed, and nothing else.
func TestWithoutEachNote(t *testing.T) {
	for i := range small().Notes {
		c := small()
		c.Notes = slices.Delete(c.Notes, i, i+1)
		f, err := New(c.Bytes())
		if err != nil || len(f.Threads) == 0 || len(f.Maps().Entries) < 5 {
			t.Errorf("without note %d: %+v, %v", i, f, err)
		}
	}
	c := small()
	c.Notes = nil
	f, err := New(c.Bytes())
	if err != nil || len(f.Threads) != 0 || f.Maps().Find(0x600000) == nil {
		t.Errorf("without notes: %+v, %v", f, err)
	}
}

// The owner's name counts, not its padding, and not more than its length.
func TestOwners(t *testing.T) {
	for name, want := range map[string]int{"CORE": 1, "CORE\x00": 1, "CORE\x00\x00\x00": 0, "CORE1": 0, "COR": 0, "": 0, "LINUX\x00": 0, "CORE\x00 and more": 0} {
		h := header{class: elf.ELFCLASS64, order: binary.LittleEndian, machine: elf.EM_X86_64}
		var b []byte
		for _, v := range []uint32{uint32(len(name)), 336, testcore.PRStatus} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		b = append(b, name...)
		for len(b)%4 != 0 {
			b = append(b, 'x') // padding need not be zero
		}
		b = append(b, make([]byte, 336)...)
		mapped, streamed := newFile(&h), newFile(&h)
		in := &input{r: bytes.NewReader(b), limit: ^uint64(0)}
		if !mapped.notes(&h, b) || !in.notes(streamed, &h, &phdr{filesz: uint64(len(b))}, 1<<20) {
			t.Errorf("%q: cut short", name)
		}
		if len(mapped.Threads) != want || len(streamed.Threads) != want {
			t.Errorf("%q: %d and %d threads, want %d", name, len(mapped.Threads), len(streamed.Threads), want)
		}
	}
}

// same compares what two ways of reading one file found.
func same(t *testing.T, a, b *File) {
	t.Helper()
	opts := cmp.Options{
		cmpopts.IgnoreUnexported(File{}, Thread{}, Segment{}),
		cmpopts.IgnoreFields(File{}, "Order"),
		cmp.Comparer(func(a, b Thread) bool {
			return a.TID == b.TID && a.PC == b.PC && a.SP == b.SP && a.Signal == b.Signal && a.Regs == b.Regs &&
				bytes.Equal(a.Siginfo, b.Siginfo) && a.Name == b.Name
		}),
	}
	if diff := cmp.Diff(a, b, opts); diff != "" {
		t.Error(diff)
	}
	flat := func(f *File) (m []piece) {
		for _, p := range f.mem {
			if n := len(m); n > 0 && m[n-1].end() == p.start {
				m[n-1].data = append(slices.Clip(m[n-1].data), p.data...)
			} else if len(p.data) > 0 {
				m = append(m, p)
			}
		}
		return m
	}
	if !slices.EqualFunc(flat(a), flat(b), func(a, b piece) bool { return a.start == b.start && bytes.Equal(a.data, b.data) }) {
		t.Error("the memory differs")
	}
}

// Register sets beyond the general one come behind it, of another owner: on a CPU
// that has thread-local storage and signatures in such.
func TestOtherRegsets(t *testing.T) {
	c := testcore.Core{Machine: elf.EM_AARCH64}
	words := func(list ...uint64) (b []byte) {
		for _, v := range list {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		return b
	}
	thread := func(tid int) testcore.Note {
		return c.Thread(testcore.Thread{TID: tid, Words: 34, Regs: map[int]uint64{31: 0x7000, 32: 0x4000}}, 32, 112)
	}
	c.Notes = []testcore.Note{
		{Name: "LINUX", Type: 0x401, Desc: words(0x1111, 0)}, // of no thread
		thread(1),
		{Name: "LINUX", Type: 0x401, Desc: words(0x5555, 0)},
		{Name: "CORE", Type: 0x406, Desc: words(1, 2)}, // not its owner
		{Name: "LINUX", Type: 0x406, Desc: words(0x7f000000000000, 0x7f001000000000)},
		thread(2),
		{Name: "LINUX", Type: 0x406, Desc: words(1)}, // cut short
	}
	check := func(how string, f *File, err error) {
		if err != nil || len(f.Threads) != 2 {
			t.Fatalf("%s: %+v, %v", how, f, err)
		}
		a, b := f.Threads[0], f.Threads[1]
		if a.TLS != 0x5555 || a.PACMask != 0x7f001000000000 || b.TLS != 0 || b.PACMask != 0 {
			t.Errorf("%s: thread pointers %#x, %#x, masks %#x, %#x", how, a.TLS, b.TLS, a.PACMask, b.PACMask)
		}
	}
	f, err := New(c.Bytes())
	check("at once", f, err)
	f, err = Stream(bytes.NewReader(c.Bytes()), StreamOptions{})
	check("as a stream", f, err)
}

// A list of mapped files that no process has is used in part.
func TestManyFiles(t *testing.T) {
	c := testcore.Core{}
	list := make([]testcore.Mapped, maxFiles+1)
	for i := range list {
		list[i] = testcore.Mapped{Start: uint64(i+1) << 12, End: uint64(i+2) << 12, Path: "/f"}
	}
	c.Notes = []testcore.Note{c.Files(list...)}
	f, err := New(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Files) != maxFiles || !slices.Contains(f.Problems, "it lists 131073 mapped files, of which the first 131072 are used") {
		t.Errorf("%d files, %q", len(f.Files), f.Problems)
	}
}
