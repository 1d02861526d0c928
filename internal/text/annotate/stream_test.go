package annotate

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/testelf"
)

// TestLatency checks that each line is answered before the next one comes.
func TestLatency(t *testing.T) {
	target := mapped(t, sysroot(t), sampleMaps)
	for workers := 1; workers <= 3; workers++ {
		in, write := io.Pipe()
		read, out := io.Pipe()
		done := make(chan error)
		go func() {
			done <- Run(in, out, Options{Append: new(text.Options).AppendName, Target: target, Workers: workers})
		}()
		lines := bufio.NewReader(read)
		for range 100 {
			io.WriteString(write, "at 0x401200\n")
			if got, err := lines.ReadString('\n'); got != "at 0x401200 <second+0x0>\n" {
				t.Fatalf("got %q, error %v", got, err)
			}
		}
		write.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// endless is a line of n bytes that holds addresses.
type endless struct{ n int }

func (e *endless) Read(b []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.n)
	for i := range b[:n] {
		b[i] = "0x401200 "[i%9]
	}
	e.n -= n
	return n, nil
}

// counter counts what is written to it, and its memory.
type counter struct {
	n     int
	alloc uint64
}

func (c *counter) Write(b []byte) (int, error) {
	if c.n += len(b); c.n%(64<<20) < len(b) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.alloc = max(c.alloc, m.HeapAlloc)
	}
	return len(b), nil
}

func TestLongLine(t *testing.T) {
	target := mapped(t, sysroot(t), sampleMaps)
	const size = 256 << 20
	var out counter
	if err := Run(&endless{size}, &out, Options{Append: new(text.Options).AppendName, Target: target}); err != nil {
		t.Fatal(err)
	}
	if out.n != size {
		t.Errorf("a line of %d bytes became one of %d", size, out.n)
	}
	if out.alloc > 128<<20 {
		t.Errorf("it took %d bytes of memory", out.alloc)
	}
}

// TestHostileLines are lines that could take a time that is the square of their
// length.
func TestHostileLines(t *testing.T) {
	target := mapped(t, sysroot(t), sampleMaps)
	for _, part := range []string{"0x401200 (", "[0x401200", "(+0x1) [0x401200]", " ip 0x401200 in x[", "#1  0x401200 in ", "0x401200(", "\x1b[1m0x401200", "# thread\n# signal\n", "0000000000401200\n", "7f0000001000-7f0000003000 r-xp 00001000 fe:00 1 /lib/libfoo.so\n"} {
		in := strings.Repeat(part, (1<<20)/len(part)-1) + "\n"
		for _, o := range []Options{{Append: new(text.Options).AppendName, Target: target}, {Append: new(text.Options).AppendName, Names: names}} {
			out := runFrom(t, o, strings.NewReader(in))
			if insertion.ReplaceAllString(out, "") != in {
				t.Errorf("many of %q become another text", part)
			}
		}
	}
}

// TestPathsOfTheText checks what is opened because a text names it.
func TestPathsOfTheText(t *testing.T) {
	root := sysroot(t)
	if err := unix.Mkfifo(root+"/lib/fifo", 0o666); err != nil {
		t.Fatal(err)
	}
	// Links lead nowhere out of the sysroot.
	outside := filepath.Join(t.TempDir(), "outside.so")
	if err := os.WriteFile(outside, (testelf.File{}).Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"inside": "/lib/libfoo.so", "outside": outside} {
		if err := os.Symlink(to, root+"/lib/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/lib/empty", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	in, want := marked("/lib/inside+0x1234« <second+0x34>» /../lib/libfoo.so+0x1234« <second+0x34>» /lib/fifo+0x1234 /lib/empty+0x1234 /lib+0x1234 /lib/outside+0x1234 /nosuch+0x1234\n")
	if got := run(t, Options{Sysroot: root}, in); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestManyFiles has a text name more files than may be open.
func TestManyFiles(t *testing.T) {
	root := sysroot(t)
	data, err := os.ReadFile(root + "/lib/libfoo.so")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	const n = 3 * maxOpen
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("%s/lib/%d.so", root, i), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 * n {
		fmt.Fprintf(&text, "#1 0x7fff« <second+0x10>» (/lib/%d.so+0x1210) /nosuch/%d+0x1\n", i*7%n, i)
	}
	in, want := marked(text.String())
	f := &files{sysroot: root, names: names}
	defer f.close()
	if got := run(t, Options{Target: f}, in); got != want {
		t.Error("files are named wrongly when many are")
	}
	if f.open > maxOpen || len(f.paths) > maxPaths {
		t.Errorf("%d files are open, %d paths known", f.open, len(f.paths))
	}
}
