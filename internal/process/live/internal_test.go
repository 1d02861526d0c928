//go:build linux

package live

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

func TestParseSyscall(t *testing.T) {
	for _, c := range []struct {
		in     string
		nr     int
		args   int
		sp, pc uint64
		ok     bool
	}{
		{"58 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd0 0x7f001\n", 58, 6, 0x7ffd0, 0x7f001, true},
		{"-1 0x7ffd0 0x7f001\n", -1, 0, 0x7ffd0, 0x7f001, true},
		{"running\n", -1, 0, 0, 0, false},
		{"", -1, 0, 0, 0, false},
		{"1 2 3 4\n", -1, 0, 0, 0, false},
		{"-1 0xzz 0x7f001\n", -1, 0, 0, 0, false},
	} {
		nr, args, sp, pc, ok := parseSyscall(c.in)
		if nr != c.nr || len(args) != c.args || sp != c.sp || pc != c.pc || ok != c.ok {
			t.Errorf("parseSyscall(%q) = %d %x %x %x %v", c.in, nr, args, sp, pc, ok)
		}
	}
}

func FuzzSyscall(f *testing.F) {
	f.Add([]byte("58 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd0 0x7f001\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, args, _, _, ok := parseSyscall(string(b)); ok && len(args) != 0 && len(args) != 6 {
			t.Errorf("%d arguments", len(args))
		}
	})
}

// memoryOf is a made-up memory of n bytes at base, in which each byte tells
// its place.
func memoryOf(base uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((base + uint64(i)) * 7 >> 2)
	}
	return b
}

func TestCopiedWord(t *testing.T) {
	c := copied{segs: []segment{
		{0x1000, memoryOf(0x1000, 100)},
		{0x1064, memoryOf(0x1064, 10)}, // adjoins
		{0x2000, memoryOf(0x2000, 64)},
		{^uint64(0) - 7, memoryOf(^uint64(0)-7, 8)},
	}}
	holds := func(a uint64) bool {
		return a >= 0x1000 && a < 0x106e || a >= 0x2000 && a < 0x2040 || a >= ^uint64(0)-7
	}
	try := func(a uint64, size int) {
		var want [8]byte
		ok := true
		for i := range size {
			x := a + uint64(i)
			ok = ok && holds(x) && x >= a
			want[i] = memoryOf(x, 1)[0]
		}
		v, got := c.Word(a, size)
		if got != ok || ok && v != binary.LittleEndian.Uint64(want[:]) {
			t.Errorf("Word(0x%x, %d) = 0x%x, %v, want %x, %v", a, size, v, got, want, ok)
		}
	}
	for _, size := range []int{1, 2, 4, 8} {
		for a := uint64(0xff0); a < 0x1080; a++ {
			try(a, size)
		}
		for a := uint64(0x1ff0); a < 0x2050; a++ {
			try(a, size)
		}
		for a := ^uint64(0) - 20; a != 0; a++ {
			try(a, size)
		}
	}
	for _, size := range []int{0, 3, 9, -1, 1 << 40} {
		if _, ok := c.Word(0x1000, size); ok {
			t.Errorf("a word of %d bytes", size)
		}
		if _, ok := c.Word(0x1063, size); ok {
			t.Errorf("a word of %d bytes in two segments", size)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.Word(0x1000, 8); c.Word(0x2008, 8); c.Word(0x1060, 8); c.Word(0, 8) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// fake is a memory for fetching: readable up to a limit.
type fake struct {
	base  uint64
	b     []byte
	reads int
	bytes int
}

func (m *fake) read(addr uint64, b []byte) int {
	m.reads++
	if addr < m.base || addr-m.base >= uint64(len(m.b)) {
		return 0
	}
	n := copy(b, m.b[addr-m.base:])
	m.bytes += n
	return n
}

func TestFetching(t *testing.T) {
	const base, size = 0x10000, 1 << 20
	m := &fake{base: base, b: memoryOf(base, size)}
	own := segment{base + 0x1804, m.b[0x1804:0x1c0c]} // what had been copied, unaligned
	f := fetching{copied: copied{segs: []segment{own}}, read: m.read, ahead: page, budget: roomy()}
	want := func(a uint64) uint64 { return binary.LittleEndian.Uint64(m.b[a-base:]) }
	for a := uint64(base + 0x1000); a <= base+size-8; a += 8 {
		if v, ok := f.Word(a, 8); !ok || v != want(a) {
			t.Fatalf("Word(0x%x) = 0x%x, %v, want 0x%x", a, v, ok, want(a))
		}
	}
	if m.bytes > size || m.reads > 30 {
		t.Errorf("%d bytes in %d reads: some were read twice, or without reading ahead", m.bytes, m.reads)
	}
	for i := 1; i < len(f.segs); i++ {
		if end := f.segs[i-1].start + uint64(len(f.segs[i-1].data)); end > f.segs[i].start {
			t.Errorf("segments %d and %d overlap", i-1, i)
		}
	}
	// It ends where the memory does, and asks for what is missing but once.
	if _, ok := f.Word(base+size-4, 8); ok {
		t.Error("a word across the end")
	}
	before := m.reads
	for range 10 {
		f.Word(base+size-4, 8)
	}
	if m.reads > before {
		t.Errorf("%d more reads for the same missing page", m.reads-before)
	}
	// All that was seen is kept.
	c := copied{segs: f.segs}
	for a := uint64(base + 0x1000); a <= base+size-8; a += 8 {
		if v, ok := c.Word(a, 8); !ok || v != want(a) {
			t.Fatalf("0x%x is missing from the copy", a)
		}
	}
}

// A walk that is led astray must not copy the world.
func TestFetchingIsBounded(t *testing.T) {
	n := 0
	f := fetching{ahead: page, budget: roomy(), read: func(addr uint64, b []byte) int { n += len(b); return len(b) }}
	for a := uint64(0); a < 1<<40; a += 1 << 20 {
		if _, ok := f.Word(a, 8); !ok {
			break
		}
	}
	if n > maxFetched || len(f.segs) > maxSegments || f.cut != CutBySize {
		t.Errorf("%d bytes in %d segments, cut %d", n, len(f.segs), f.cut)
	}
}

// Nor may a thousand walks together.
func TestFetchingIsBoundedInAll(t *testing.T) {
	n := 0
	b := &budget{room: 1 << 20}
	cut := 0
	for range 1000 {
		f := fetching{ahead: page, budget: b, read: func(addr uint64, b []byte) int { n += len(b); return len(b) }}
		for a := uint64(0); a < 100*page; a += page {
			if _, ok := f.Word(a, 8); !ok {
				break
			}
		}
		if f.cut == CutBySize {
			cut++
		}
	}
	if n > 1<<20 || cut < 990 {
		t.Errorf("%d bytes, %d walks were cut", n, cut)
	}
}

func FuzzFetching(f *testing.F) {
	f.Add([]byte{0, 8, 16, 200, 255, 3, 9, 77})
	f.Fuzz(func(t *testing.T, at []byte) {
		const base, size = 0x10000, 64 << 10
		m := &fake{base: base, b: memoryOf(base, size)}
		w := fetching{read: m.read, ahead: page, budget: roomy()}
		for i := 0; i+2 <= len(at); i += 2 {
			a := base - 16 + uint64(at[i])<<8 + uint64(at[i+1])
			v, ok := w.Word(a, 8)
			inside := a >= base && a <= base+size-8
			if ok != inside || ok && v != binary.LittleEndian.Uint64(m.b[a-base:]) {
				t.Fatalf("Word(0x%x) = 0x%x, %v", a, v, ok)
			}
		}
	})
}

// roomy is a budget that does not run out.
func roomy() *budget { return &budget{room: 1 << 40} }

// Where process_vm_readv is forbidden, /proc/PID/mem serves.
func TestReaderFallback(t *testing.T) {
	b := bytes.Repeat([]byte("memory "), 3000)
	dir, err := procfs.OpenDir("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	r := reader{tid: unix.Getpid(), dir: dir, mem: -1}
	addr := uint64(uintptr(unsafe.Pointer(&b[0])))
	got := make([]byte, len(b))
	if n := r.read(addr, got); n != len(b) || !bytes.Equal(got, b) || r.mem >= 0 {
		t.Errorf("process_vm_readv: %d bytes", n)
	}
	if !r.fallback() {
		t.Fatal("no mem file")
	}
	defer unix.Close(r.mem)
	clear(got)
	if n := r.read(addr, got); n != len(b) || !bytes.Equal(got, b) {
		t.Errorf("mem: %d bytes", n)
	}
	if n := r.read(0, got); n != 0 {
		t.Errorf("%d bytes at 0", n)
	}

	// A batch through it, one piece of which cannot be read.
	tr := tracer{reader: r, threads: make([]tracee, 3)}
	for i, lo := range []uint64{addr, 16, addr + 7} {
		tr.threads[i].lo, tr.threads[i].hi = lo, lo+70
		tr.threads[i].out.Complete = true
		tr.iov = append(tr.iov, remote{lo, 70})
	}
	for range 2 {
		tr.copyBatch([]int{0, 1, 2}, make([]byte, 210))
		for i, want := range []bool{true, false, true} {
			th := &tr.threads[i].out
			if th.Complete != want || len(th.segs) == 1 != want {
				t.Fatalf("thread %d: complete %v, %d segments", i, th.Complete, len(th.segs))
			}
			if want && !bytes.Equal(th.segs[0].data, b[i/2*7:][:70]) {
				t.Errorf("thread %d: %q", i, th.segs[0].data)
			}
			th.segs = nil
		}
		tr.reader = reader{tid: unix.Getpid(), dir: dir, mem: -1} // and without it
	}
}

func TestReadMemoryOverEnds(t *testing.T) {
	page := unix.Getpagesize()
	b, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := unix.Mprotect(b[page:2*page], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	copy(b[page-5:], "hello")
	got := make([]byte, 100)
	addr := uint64(uintptr(unsafe.Pointer(&b[0]))) + uint64(page) - 5
	n, err := readv(unix.Getpid(), addr, got)
	if n != 5 || err != unix.EFAULT || string(got[:n]) != "hello" {
		t.Errorf("%d bytes %q, %v", n, got[:max(n, 0)], err)
	}
}

func TestOnDyingThread(t *testing.T) {
	for range 20 {
		ran := 0
		tid := onDyingThread(func() { ran = unix.Gettid() })
		if ran == 0 || ran != tid || tid == unix.Getpid() {
			t.Fatalf("ran on %d, reported %d", ran, tid)
		}
		waitThreadEnd(tid)
		if err := unix.Tgkill(unix.Getpid(), tid, 0); err != unix.ESRCH {
			t.Fatalf("thread %d has not ended: %v", tid, err)
		}
	}
}
