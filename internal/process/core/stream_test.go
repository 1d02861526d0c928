package core

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/gatedso/bt/internal/testcore"
	"github.com/gatedso/bt/internal/testenv"
)

// A stream of a small core gives what the file itself does.
func TestStreamSame(t *testing.T) {
	for _, last := range []bool{false, true} {
		c := small()
		c.NotesLast = last
		data := c.Bytes()
		want, err := New(data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Stream(bytes.NewReader(data), StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, want, got)
		// Whatever pieces it comes in.
		got, err = Stream(iotestOneByte{bytes.NewReader(data)}, StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, want, got)
	}
}

type iotestOneByte struct{ r io.Reader }

func (r iotestOneByte) Read(b []byte) (int, error) { return r.r.Read(b[:min(1, len(b))]) }

const (
	mib = 1 << 20
	gib = 1 << 30
)

// large is a process whose memory is many times what may be kept: a heap of
// heap bytes, 100 threads' stacks, an image, JIT code.
func large(heap uint64) *testcore.Core {
	c := &testcore.Core{}
	head := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 93)...)
	const (
		code   = 0x400000
		heapAt = 0x10000000
		vdso   = 0x7ffff7fc0000
		main   = 0x7ffffff00000
		stacks = 0x7f0000000000
		size   = mib
		deep   = size - 0x3000 // sp from the stack's start
	)
	jit := uint64(heapAt + heap + 0x10000)
	c.Loads = []testcore.Load{
		{Addr: code, Memsz: 0x100000, Filesz: 0x1000, Data: head, Flags: elf.PF_R},
		{Addr: heapAt, Filesz: heap, Data: []byte("heap"), Flags: elf.PF_R | elf.PF_W},
		{Addr: jit, Filesz: 0x10000, Data: []byte("jit code"), Flags: elf.PF_R | elf.PF_X},
	}
	c.Notes = []testcore.Note{
		c.AMD64(1, 11, code+0x10, main+0x1000),
		c.Process(1, "large", "large"),
		c.Auxv(atSysinfoEhdr, vdso, atRandom, main+0x1ff00),
		c.Files(testcore.Mapped{Start: code, End: code + 0x100000, Path: "/bin/large"}),
	}
	stack := make([]byte, size)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(stack[i:], uint64(i))
	}
	for i := range uint64(100) {
		at := stacks + i*(size+0x1000)
		c.Loads = append(c.Loads, testcore.Load{Addr: at, Filesz: size, Data: stack, Flags: elf.PF_R | elf.PF_W})
		c.Notes = append(c.Notes, c.AMD64(int(2+i), 11, jit+0x20, at+deep))
	}
	c.Loads = append(c.Loads,
		testcore.Load{Addr: vdso, Filesz: 0x2000, Data: append(head, bytes.Repeat([]byte{7}, 0x1000)...), Flags: elf.PF_R | elf.PF_X},
		testcore.Load{Addr: main, Filesz: 0x20000, Data: stack[:0x20000], Flags: elf.PF_R | elf.PF_W})
	return c
}

// checkLarge looks for what is needed of a core made by large.
func checkLarge(t *testing.T, f *File, room int) {
	t.Helper()
	if len(f.Threads) != 101 || len(f.Problems) != 0 || !f.Partial {
		t.Fatalf("%d threads, %q, partial %v", len(f.Threads), f.Problems, f.Partial)
	}
	kept := 0
	for _, p := range f.mem {
		kept += len(p.data)
	}
	if kept > room {
		t.Errorf("%d bytes are kept, of %d at most", kept, room)
	}
	mem := f.Memory(nil)
	for i := range f.Threads {
		th := &f.Threads[i]
		for _, at := range []uint64{th.SP - 128, th.SP, th.SP + 0x1000, th.SP + 0x2ff8} {
			s := f.segmentAt(th.SP)
			if v, ok := mem.Word(at, 8); !ok || v != at-s.Start {
				t.Fatalf("thread %d: sp%+d: %#x, %v", th.TID, int64(at-th.SP), v, ok)
			}
		}
	}
	for name, at := range map[string]uint64{
		"image": 0x400000, "vdso": 0x7ffff7fc0000, "all of the vdso": 0x7ffff7fc1060,
		"jit": f.Threads[1].PC - 0x20, "first stack": 0x7ffffff00000 + 0x1fff0,
	} {
		if v, ok := mem.Word(at, 8); !ok || v == 0 {
			t.Errorf("%s at %#x: %#x, %v", name, at, v, ok)
		}
	}
	if _, ok := mem.Word(0x10000000+90*mib, 8); ok {
		t.Error("the heap is kept")
	}
}

func TestStreamBounded(t *testing.T) {
	const room = 16 * mib
	var before, after runtime.MemStats
	c := large(2 * gib)
	r := c.Reader()
	runtime.GC()
	runtime.ReadMemStats(&before)
	f, err := Stream(r, StreamOptions{MaxMemory: room})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2*room {
		t.Errorf("%d bytes were allocated for %d", n, room)
	}
	checkLarge(t, f, room)
}

// Notes behind the memory are no hindrance for a file that can be read twice,
// compressed or not.
func TestNotesLast(t *testing.T) {
	c := large(100 * mib)
	c.NotesLast = true
	path := filepath.Join(t.TempDir(), "core.lz4")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := lz4.NewWriter(file)
	if _, err := io.Copy(struct{ io.Writer }{w}, c.Reader()); err != nil {
		t.Fatal(err)
	}
	w.Close()
	file.Close()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	checkLarge(t, f, defaultMaxMemory)

	f, err = Stream(c.Reader(), StreamOptions{})
	if err != nil || len(f.Threads) != 101 || !f.Partial || len(f.Problems) != 1 || !strings.Contains(f.Problems[0], "save it") {
		t.Errorf("as a pipe: %d threads, %v, %q", len(f.Threads), err, f.Problems)
	}
}

// compressors make what Open reads.
var compressors = map[string]func(t *testing.T, data []byte) []byte{
	"gz": func(t *testing.T, data []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(data)
		w.Close()
		return b.Bytes()
	},
	"zst": func(t *testing.T, data []byte) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(data, nil)
	},
	"lz4": func(t *testing.T, data []byte) []byte {
		var b bytes.Buffer
		w := lz4.NewWriter(&b)
		w.Write(data)
		w.Close()
		return b.Bytes()
	},
	"xz": func(t *testing.T, data []byte) []byte {
		cmd := exec.Command(testenv.Need(t, "xz", "xz-utils"), "-c")
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	},
}

func TestCompressed(t *testing.T) {
	data := small().Bytes()
	want, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, compress := range compressors {
		t.Run(name, func(t *testing.T) {
			packed := compress(t, data)
			path := filepath.Join(t.TempDir(), "any-name")
			if err := os.WriteFile(path, packed, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			same(t, want, f)

			// Cut short, it yields what it still holds.
			for i := range 20 {
				f, err := Stream(bytes.NewReader(packed[:len(packed)*i/20]), StreamOptions{})
				if err == nil && f.Missing == 0 && len(f.Problems) == 0 {
					same(t, want, f) // but for a checksum, it was all there
				}
			}
			// Damaged, it is an error or a part.
			for i := 0; i < len(packed); i += max(1, len(packed)/50) {
				bad := bytes.Clone(packed)
				bad[i] ^= 0x55
				if f, err := Stream(bytes.NewReader(bad), StreamOptions{}); err == nil {
					f.Maps()
				}
			}
		})
	}
}

// A compressed core through a named pipe, as a shell's <( ) makes it.
func TestPipe(t *testing.T) {
	data := small().Bytes()
	want, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(path, compressors["zst"](t, data), 0)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, want, f)
}

// bomb is a zstd frame (RFC 8878) of blocks that repeat one byte, behind the
// bytes given.
func bomb(head []byte, blocks int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x58} // window descriptor: 2 MiB
	block := func(last, typ, size int) {
		v := last | typ<<1 | size<<3
		b = append(b, byte(v), byte(v>>8), byte(v>>16))
	}
	block(0, 0, len(head))
	b = append(b, head...)
	for range blocks {
		block(0, 1, 128<<10)
		b = append(b, 0)
	}
	block(1, 0, 0)
	return b
}

// What a bomb unfolds to is neither kept nor read without bound.
func TestBomb(t *testing.T) {
	c := testcore.Core{Loads: []testcore.Load{
		{Addr: 0x10000, Filesz: 1 << 60, Flags: elf.PF_R | elf.PF_W},
		{Addr: 1 << 62, Filesz: 0x1000, Flags: elf.PF_R | elf.PF_W},
	}}
	c.Notes = []testcore.Note{c.AMD64(1, 11, 0x400000, 1<<62+0x100)}
	head := make([]byte, 4096)
	io.ReadFull(c.Reader(), head)
	packed := bomb(head, 8*gib/(128<<10))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := Stream(bytes.NewReader(packed), StreamOptions{MaxBytes: gib})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100*mib {
		t.Errorf("%d bytes were allocated", n)
	}
	if len(f.Threads) != 1 || f.Missing < 1<<59 || !strings.Contains(strings.Join(f.Problems, " "), "limit") {
		t.Errorf("%d threads, %d missing, %q", len(f.Threads), f.Missing, f.Problems)
	}
}

// Headers and notes that would fill the memory.
func TestStreamLies(t *testing.T) {
	c := testcore.Core{Xnum: true}
	c.Notes = []testcore.Note{{Type: testcore.File, Desc: make([]byte, 100)}, c.AMD64(1, 6, 1, 2)}
	data := c.Bytes()
	binary.LittleEndian.PutUint64(data[64+8:], 1<<40) // where the notes begin: 2^40/56 headers
	r := io.MultiReader(bytes.NewReader(data[:64+56]), io.LimitReader(repeat(data[64:64+56]), gib/4))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := Stream(r, StreamOptions{MaxMemory: mib})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16*mib {
		t.Errorf("%d bytes were allocated", n)
	}
	if len(f.Problems) == 0 {
		t.Error("nothing is said")
	}
}

// repeat repeats bytes without end.
func repeat(b []byte) io.Reader { return &repeater{b: b} }

type repeater struct {
	b  []byte
	at int
}

func (r *repeater) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(b[n:], r.b[r.at:])
		n += k
		r.at = (r.at + k) % len(r.b)
	}
	return n, nil
}

// A reader that fails ends the core there, and says so.
func TestStreamError(t *testing.T) {
	data := small().Bytes()
	broken := errors.New("the disk is broken")
	f, err := Stream(io.MultiReader(bytes.NewReader(data[:len(data)-0x1800]), failing{broken}), StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Threads) != 2 || f.Missing == 0 || !strings.Contains(strings.Join(f.Problems, " "), "the disk is broken") {
		t.Errorf("%d threads, %d missing, %q", len(f.Threads), f.Missing, f.Problems)
	}
	if _, err := Stream(failing{broken}, StreamOptions{}); !errors.Is(err, broken) || !errors.Is(err, ErrNotCore) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Cut at every 1% of its length, a core yields what it still holds.
func TestTruncated(t *testing.T) {
	for _, last := range []bool{false, true} {
		c := small()
		c.NotesLast = last
		data := c.Bytes()
		threads := 0
		for i := range 100 {
			cut := data[:len(data)*i/100]
			f, err := New(cut)
			if err != nil {
				if len(cut) >= 64 {
					t.Errorf("%d%%: %v", i, err)
				}
				continue
			}
			if f.Missing == 0 && len(f.Problems) == 0 {
				t.Errorf("%d%%: nothing is said to be missing", i)
			}
			if len(f.Threads) < threads {
				t.Errorf("%d%%: %d threads, less than before", i, len(f.Threads))
			}
			threads = len(f.Threads)
			f.Maps()
			s, err := Stream(bytes.NewReader(cut), StreamOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s.Problems, f.Problems = nil, nil
			same(t, f, s)
		}
		if !last && threads != 2 {
			t.Errorf("%d threads in 99%%", threads)
		}
	}
}

// A core of 10 GiB on disk costs neither memory nor time.
func TestSparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "core")
	if err := large(10 * gib).WriteFile(path); err != nil {
		t.Skip(err) // a file system without holes, or so small
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > mib {
		t.Errorf("%d bytes were allocated", n)
	}
	mem := f.Memory(nil)
	if v, ok := mem.Word(f.Threads[5].SP, 8); !ok || v != mib-0x3000 {
		t.Errorf("%#x, %v", v, ok)
	}

	// Somebody truncates it meanwhile.
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadMemory(f.Threads[5].SP, make([]byte, 8)); n != 0 || !errors.Is(err, ErrTruncated) {
		t.Errorf("%d, %v", n, err)
	}
	if v, ok := mem.Word(f.Threads[6].SP, 8); ok {
		t.Errorf("%#x", v)
	}
}

// What lies in a hole of a sparse file can have any size, and costs nothing.
func TestTablesInHole(t *testing.T) {
	const huge = 64 * gib
	for name, change := range map[string]func(b []byte){
		"notes": func(b []byte) {
			le := binary.LittleEndian
			for p := b[le.Uint64(b[32:]):]; ; p = p[56:] {
				if elf.ProgType(le.Uint32(p)) == elf.PT_NOTE {
					le.PutUint64(p[32:], huge)
					return
				}
			}
		},
		"program headers": func(b []byte) {
			le := binary.LittleEndian
			le.PutUint16(b[56:], 0xffff) // the number is in section 0
			le.PutUint64(b[40:], uint64(len(b)-64))
			le.PutUint32(b[len(b)-64+44:], 1<<30)
		},
	} {
		c := small()
		c.NotesLast = true
		b := append(c.Bytes(), make([]byte, 64)...)
		change(b)
		path := filepath.Join(t.TempDir(), "core")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 2*huge); err != nil {
			t.Skip(err) // a file system without holes, or so small
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64*mib {
			t.Errorf("%s: %d MiB were allocated", name, n/mib)
		}
		if name == "notes" && (len(f.Threads) == 0 || !slices.Contains(f.Problems, "its notes are cut short")) {
			t.Errorf("%s: %d threads, %q", name, len(f.Threads), f.Problems)
		}
		f.Close()
	}
}
