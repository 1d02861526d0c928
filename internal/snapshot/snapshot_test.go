//go:build linux

package snapshot

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// What makes a second look necessary: a change of code, and of nothing else.
func TestSameCode(t *testing.T) {
	const (
		text = "1000-2000 r-xp 00000000 08:01 1 /bin/prog\n"
		data = "2000-3000 rw-p 00001000 08:01 1 /bin/prog\n"
		heap = "4000-5000 rw-p 00000000 00:00 0 [heap]\n"
		lib  = "6000-7000 r-xp 00000000 08:01 2 /lib/lib.so\n"
		jit  = "8000-9000 rwxp 00000000 00:00 0 \n"
	)
	for _, tt := range []struct {
		name, a, b string
		want       bool
	}{
		{"nothing", "", "", true},
		{"the same", text + data + lib, text + data + lib, true},
		{"the heap grows", text + data + heap + lib, text + data + strings.Replace(heap, "5000", "6000", 1) + lib, true},
		{"data alone", data + heap, heap, true},
		{"data in front", text, "0-1000 r--p 00000000 08:01 1 /bin/prog\n" + text, true},
		{"a library more", text + data, text + data + lib, false},
		{"a library less", text + lib, text, false},
		{"the first one less", text + lib, lib, false},
		{"code of a JIT compiler", text, text + jit, false},
		{"elsewhere", text + lib, text + strings.Replace(lib, "6000-7000", "7000-8000", 1), false},
		{"longer", text, strings.Replace(text, "2000", "3000", 1), false},
		{"another file", text, strings.Replace(text, "08:01 1", "08:01 9", 1), false},
		{"another device", text, strings.Replace(text, "08:01", "08:02", 1), false},
		{"another offset", text, strings.Replace(text, "00000000", "00001000", 1), false},
		{"deleted", text, strings.Replace(text, "/bin/prog", "/bin/prog (deleted)", 1), false},
		{"made writable", text, strings.Replace(text, "r-xp", "rwxp", 1), false},
		{"no code any more", text, strings.Replace(text, "r-xp", "r--p", 1), false},
	} {
		a, err := maps.Parse([]byte(tt.a))
		if err != nil {
			t.Fatal(err)
		}
		b, err := maps.Parse([]byte(tt.b))
		if err != nil {
			t.Fatal(err)
		}
		if got, back := sameCode(a, b), sameCode(b, a); got != tt.want || back != tt.want {
			t.Errorf("%s: %v and %v, want %v", tt.name, got, back, tt.want)
		}
	}
}

const program = `
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile int sink;
__attribute__((noinline)) void wait_here(void) { for (;;) { pause(); sink++; } }
__attribute__((noinline)) void down(int n) { if (n > 0) down(n - 1); else wait_here(); sink++; }
static void *worker(void *arg) { down(3); return arg; }
int main(void) {
	pthread_t t;
	pthread_create(&t, NULL, worker, NULL);
	usleep(10000);
	alarm(300); // should the test be killed
	puts("ready");
	fflush(stdout);
	down(300);
	return 0;
}
`

// start runs the program and returns it, opened, once both threads wait.
func start(t *testing.T) *live.Process {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "prog")
	compile(t, exe, program, "-pthread")
	return ready(t, exec.Command(exe))
}

// compile makes a program or library of C source.
func compile(t *testing.T, out, source string, args ...string) {
	t.Helper()
	gcc := testenv.Need(t, "gcc", "gcc")
	src := out + ".c"
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-O1", "-fno-optimize-sibling-calls", "-o", out, src}, args...)
	if msg, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
}

// chain is the program's own functions in a stack.
func chain(t *testing.T, s *Stacks, i int) (names []string) {
	t.Helper()
	sym, err := symbolize.New(s.Space, symbolize.Options{Gate: gate.Setting{Value: gate.Live}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Threads[i].Stack.Frames {
		named := []stack.Frame{{PC: f.PC, Exact: f.Exact}}
		sym.Frames(named)
		if m := named[0].Module; m != nil && strings.HasSuffix(m.Path, "/prog") {
			name := ""
			if n := named[0].Function(); n != nil {
				name = n.Symbol
			}
			names = append(names, name)
		}
	}
	return names
}

// waiting reports whether all threads are where they end up.
func waiting(t *testing.T, s *Stacks) bool {
	t.Helper()
	for i := range s.Threads {
		if c := chain(t, s, i); len(c) == 0 || c[0] != "wait_here" {
			return false
		}
	}
	return len(s.Threads) == 2
}

func TestProcess(t *testing.T) {
	p := start(t)
	take := func(o Options) *Stacks {
		t.Helper()
		o.Cache, o.Source = new(image.Cache), Source(p, "")
		s, err := Process(p, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	s := take(Options{})
	for try := 0; !waiting(t, s); try++ {
		if try == 500 {
			t.Fatalf("the threads do not arrive: %v", chain(t, s, 0))
		}
		s = take(Options{})
	}
	for i, want := range [][]string{
		append(append([]string{"wait_here"}, slices.Repeat([]string{"down"}, 301)...), "main", "_start"),
		append(append([]string{"wait_here"}, slices.Repeat([]string{"down"}, 4)...), "worker"),
	} {
		if got := chain(t, s, i); !slices.Equal(got, want) {
			t.Errorf("thread %d: %q", i, got)
		}
		if st := s.Threads[i].Stack; st.End != unwind.EndOutermost {
			t.Errorf("thread %d ends with %d at %#x", i, st.End, st.At)
		}
	}
	if s.Threads[0].TID != p.PID || len(s.Gone) != 0 {
		t.Errorf("threads %d…, gone %v", s.Threads[0].TID, s.Gone)
	}

	tid := s.Threads[1].TID
	s = take(Options{TIDs: []int{tid, 1 << 30}, MaxFrames: 3})
	if len(s.Threads) != 1 || s.Threads[0].TID != tid || !slices.Equal(s.Gone, []int{1 << 30}) {
		t.Fatalf("%d threads, gone %v", len(s.Threads), s.Gone)
	}
	if st := s.Threads[0].Stack; len(st.Frames) != 3 || st.End != unwind.EndMaxFrames || st.At != 3 {
		t.Errorf("%d frames, end %d at %d", len(st.Frames), st.End, st.At)
	}
}

// A process that has to go on at once leaves stacks that say so, and is not
// looked at a second time.
func TestMaxPause(t *testing.T) {
	p := start(t)
	s, err := Process(p, Options{Cache: new(image.Cache), Source: Source(p, ""), MaxPause: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Threads) != 2 {
		t.Fatalf("%d threads", len(s.Threads))
	}
	for _, th := range s.Threads {
		if th.NotStopped != "" {
			continue // it was too late for that
		}
		if th.Stack.End != unwind.EndMaxPause || len(th.Stack.Frames) == 0 {
			t.Errorf("thread %d: %d frames, end %d", th.TID, len(th.Stack.Frames), th.Stack.End)
		}
	}
}

// Files below a sysroot come first where they are the same build, and are not
// used where they are not.
func TestSourceSysroot(t *testing.T) {
	p := start(t)
	text, err := p.Maps()
	if err != nil {
		t.Fatal(err)
	}
	m, err := maps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var prog *maps.Mapping
	for i := range m.Entries {
		if e := &m.Entries[i]; e.Perm&maps.Exec != 0 && strings.HasSuffix(e.Path, "/prog") {
			prog = e
		}
	}
	if prog == nil {
		t.Fatalf("no program in:\n%s", text)
	}
	data, err := os.ReadFile(prog.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		make func(path string) error
		via  string // "": any but the sysroot
	}{
		"a copy":            {func(path string) error { return os.WriteFile(path, data, 0o644) }, "sysroot"},
		"the file itself":   {func(path string) error { return os.Link(prog.Path, path) }, "sysroot"},
		"something else":    {func(path string) error { return os.WriteFile(path, []byte("something else"), 0o644) }, ""},
		"nothing":           {func(string) error { return nil }, ""},
		"a directory":       {func(path string) error { return os.Mkdir(path, 0o755) }, ""},
		"cut short":         {func(path string) error { return os.WriteFile(path, data[:100], 0o644) }, ""},
		"another build ID":  {func(path string) error { return os.WriteFile(path, otherBuild(t, data), 0o644) }, ""},
		"a link to nowhere": {func(path string) error { return os.Symlink("/nowhere/at/all", path) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := os.MkdirTemp(filepath.Dir(prog.Path), "root")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(root, prog.Path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			space := image.NewSpace(m, Source(p, root), new(image.Cache))
			pl := space.Locate(prog.Start)
			if pl.Image == nil {
				t.Fatal(pl.Err)
			}
			if via := pl.Module.Via(); (via == "sysroot") != (tt.via == "sysroot") || via == "memory" {
				t.Errorf("opened by %q, want %q", via, tt.via)
			}
		})
	}
}

// otherBuild is an ELF file with one bit of its build ID changed.
func otherBuild(t *testing.T, data []byte) []byte {
	t.Helper()
	i := strings.Index(string(data), "\x03\x00\x00\x00GNU\x00")
	if i < 0 {
		t.Skip("the compiler writes no build ID")
	}
	data = slices.Clone(data)
	data[i+8] ^= 1
	return data
}
