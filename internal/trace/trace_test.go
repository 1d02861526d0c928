//go:build linux

package trace_test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// source is files by their paths in the maps; there is no memory.
type source map[string]string

func (s source) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	path, ok := s[m.Path]
	if !ok {
		return nil, "", false, fmt.Errorf("%s: gone", m.Path)
	}
	f, err := procfs.Open(path)
	return f, "test", true, err
}

func (source) ReadMemory(uint64, []byte) (int, error) { return 0, errors.New("no memory") }
func (source) BuildID(*maps.Mapping) []byte           { return nil }

// testMaps is the process of most tests. The names try to drive the terminal.
const testMaps = "" +
	"00010000-00012000 r-xp 00000000 08:01 1                                  /lib/libfoo.so\n" +
	"00020000-00022000 r-xp 00000000 08:01 2                                  /lib/a b\x1b[31m\\012.so\n" +
	"00030000-00031000 rwxp 00000000 00:00 0 \n" +
	"00040000-00041000 r-xp 00003000 08:01 3                                  /lib/gone.so (deleted)\n" +
	"00050000-00051000 rwxp 00000000 00:00 0                                  [anon:jit\x1b]\n"

// printer prints threads as bt does.
type printer struct {
	*text.Printer
	out   bytes.Buffer
	space *image.Space
	sym   *symbolize.Symbolizer
}

// model returns the model of threads, named.
func (p *printer) model(threads ...process.Unwound) *stack.Process {
	m := trace.Process(1234, "./prog\x1b[31m a\\b\n", 0, &snapshot.Stacks{Space: p.space, Threads: threads})
	if !p.Options.Raw {
		p.sym.Stacks(m)
	}
	return m
}

// threads prints threads, and tells whether nothing is missing.
func (p *printer) threads(threads ...process.Unwound) bool {
	m := p.model(threads...)
	p.Threads(m)
	return m.Complete()
}

func (p *printer) text() *bytes.Buffer {
	p.W.Flush()
	return &p.out
}

func newPrinter(t *testing.T, o text.Options, mapsText string) *printer {
	t.Helper()
	f := testelf.File{
		BuildID:  []byte{0xca, 0xfe, 0x01},
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x1000, Data: make([]byte, 0x100)}},
		Symbols: []testelf.Symbol{
			{Name: "first", Value: 0x1000, Size: 0x40, Type: elf.STT_FUNC, Section: ".text"},
			{Name: "_ZN3foo3barEi", Value: 0x1040, Size: 0x40, Type: elf.STT_FUNC, Section: ".text"},
			{Name: "evil\x1b[2J", Value: 0x1080, Size: 0x40, Type: elf.STT_FUNC, Section: ".text"},
		},
	}
	path := filepath.Join(t.TempDir(), "libfoo.so")
	if err := os.WriteFile(path, f.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := maps.Parse([]byte(mapsText))
	if err != nil {
		t.Fatal(err)
	}
	space := image.NewSpace(m, source{"/lib/libfoo.so": path, "/lib/a b\x1b[31m\n.so": path}, new(image.Cache))
	sym, err := symbolize.New(space, symbolize.Options{Gate: gate.Setting{Value: gate.Live}})
	if err != nil {
		t.Fatal(err)
	}
	p := &printer{space: space, sym: sym}
	p.Printer = &text.Printer{W: bufio.NewWriter(&p.out), Options: o}
	return p
}

func thread(a *arch.Arch, frames ...unwind.Frame) process.Unwound {
	t := process.Unwound{Stack: unwind.Stack{Frames: frames}}
	t.TID, t.Name, t.Arch, t.HasRegs = 1235, "worker", a, true
	return t
}

func exact(pc uint64) unwind.Frame { return unwind.Frame{PC: pc, Exact: true} }
func ret(pc uint64) unwind.Frame   { return unwind.Frame{PC: pc, How: unwind.HowCFI} }

func golden(t *testing.T, got *bytes.Buffer, want ...string) {
	t.Helper()
	text := strings.Join(want, "\n") + "\n"
	if d := cmp.Diff(text, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Every form of a frame's line.
func TestFrames(t *testing.T) {
	frames := []unwind.Frame{
		exact(0x11000), // named, at a symbol's first byte
		ret(0x11040),   // a call at a function's end: not its neighbour
		ret(0x11050),
		ret(0x11084),   // a hostile name
		ret(0x110f0),   // no symbol
		ret(0x21004),   // a hostile path
		exact(0x210f0), // and no symbol
		ret(0x30010),   // anonymous
		ret(0x40010),   // the file is gone
		ret(0x50010),
		exact(0),
		exact(0xffffffffffffffff),
	}
	for _, tt := range []struct {
		name string
		arch *arch.Arch
		o    text.Options
		want []string
	}{
		{"64-bit", amd64.Arch, text.Options{}, []string{
			"0000000000011000 <first+0x0>",
			"0000000000011040 <first+0x40>",
			"0000000000011050 <foo::bar(int)+0x10>",
			`0000000000011084 <evil\x1b[2J+0x4>`,
			"00000000000110f0",
			"0000000000021004 <first+0x4>",
			"00000000000210f0",
			"0000000000030010",
			"0000000000040010",
			"0000000000050010",
			"0000000000000000",
			"ffffffffffffffff",
		}},
		{"32-bit", i386.Arch, text.Options{}, []string{
			"00011000 <first+0x0>",
			"00011040 <first+0x40>",
			"00011050 <foo::bar(int)+0x10>",
			`00011084 <evil\x1b[2J+0x4>`,
			"000110f0",
			"00021004 <first+0x4>",
			"000210f0",
			"00030010",
			"00040010",
			"00050010",
			"00000000",
			"ffffffffffffffff",
		}},
		{"--module", i386.Arch, text.Options{Module: true}, []string{
			"00011000 <first+0x0> /lib/libfoo.so",
			"00011040 <first+0x40> /lib/libfoo.so",
			"00011050 <foo::bar(int)+0x10> /lib/libfoo.so",
			`00011084 <evil\x1b[2J+0x4> /lib/libfoo.so`,
			"000110f0 (libfoo.so+0x10f0)",
			`00021004 <first+0x4> /lib/a b\x1b[31m\x0a.so`,
			`000210f0 (a b\x1b[31m\x0a.so+0x10f0)`,
			"00030010",
			"00040010 (gone.so+0x3010)",
			"00050010",
			"00000000",
			"ffffffffffffffff",
		}},
		{"--build-id", i386.Arch, text.Options{BuildID: true}, []string{
			"00011000 <first+0x0> [cafe01]",
			"00011040 <first+0x40> [cafe01]",
			"00011050 <foo::bar(int)+0x10> [cafe01]",
			`00011084 <evil\x1b[2J+0x4> [cafe01]`,
			"000110f0 [cafe01]",
			"00021004 <first+0x4> [cafe01]",
			"000210f0 [cafe01]",
			"00030010",
			"00040010",
			"00050010",
			"00000000",
			"ffffffffffffffff",
		}},
		{"--module --build-id --color", i386.Arch, text.Options{Module: true, BuildID: true, Color: true}, []string{
			"00011000 <\x1b[36mfirst\x1b[0m+0x0> /lib/libfoo.so [cafe01]",
			"00011040 <\x1b[36mfirst\x1b[0m+0x40> /lib/libfoo.so [cafe01]",
			"00011050 <\x1b[36mfoo::bar(int)\x1b[0m+0x10> /lib/libfoo.so [cafe01]",
			"00011084 <\x1b[36mevil\\x1b[2J\x1b[0m+0x4> /lib/libfoo.so [cafe01]",
			"000110f0 (libfoo.so+0x10f0) [cafe01]",
			"00021004 <\x1b[36mfirst\x1b[0m+0x4> /lib/a b\\x1b[31m\\x0a.so [cafe01]",
			"000210f0 (a b\\x1b[31m\\x0a.so+0x10f0) [cafe01]",
			"00030010",
			"00040010 (gone.so+0x3010)",
			"00050010",
			"00000000",
			"ffffffffffffffff",
		}},
		{"--raw", i386.Arch, text.Options{Raw: true, Module: true, BuildID: true, Color: true}, []string{
			"00011000", "00011040", "00011050", "00011084", "000110f0", "00021004", "000210f0",
			"00030010", "00040010", "00050010", "00000000", "ffffffffffffffff",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newPrinter(t, tt.o, testMaps)
			if !s.threads(thread(tt.arch, frames...)) {
				t.Error("not complete")
			}
			head := `# thread 1235 "worker"`
			if tt.o.Color {
				head = "\x1b[2m" + head + "\x1b[0m"
			}
			golden(t, s.text(), append([]string{head}, tt.want...)...)
		})
	}
}

// Every reason for which a stack ends, and what else starts with '#'.
func TestComments(t *testing.T) {
	s := newPrinter(t, text.Options{}, testMaps)
	s.Head(s.model(), render.Sample{})
	complete := func(u process.Unwound, want bool) {
		t.Helper()
		if got := s.threads(u); got != want {
			t.Errorf("%q: complete %v", u.Name, got)
		}
	}
	end := func(e unwind.End, at uint64) {
		u := thread(i386.Arch, exact(0x11000))
		u.Stack.End, u.Stack.At, u.Name = e, at, ""
		complete(u, e == unwind.EndOutermost)
	}
	u := thread(i386.Arch, exact(0x11000))
	u.Name = "a\"b\x1b]0;x\a\n\u202e"
	complete(u, true)
	u = thread(i386.Arch)
	u.Name, u.NotStopped = "d", "in state D\x1b"
	complete(u, false)
	u = thread(nil)
	u.Name, u.HasRegs, u.Stack.End = "n", false, unwind.EndNoRegister
	complete(u, false)
	end(unwind.EndOutermost, 0)
	end(unwind.EndMaxFrames, 256)
	end(unwind.EndNoInfo, 0x30010)
	end(unwind.EndNoInfo, 0x11000)
	end(unwind.EndNoInfo, 0x21000)
	end(unwind.EndNoInfo, 0x50010)
	end(unwind.EndNoInfo, 0x60000)
	end(unwind.EndBadRow, 0x11000)
	end(unwind.EndNoMemory, 0xfffff000)
	end(unwind.EndNoAdvance, 0x7ff000)
	end(unwind.EndBadReturn, 0x1234)
	end(unwind.EndLoop, 0x7ff000)
	end(unwind.EndNoRegister, uint64(i386.EBP))
	end(unwind.EndNoRegister, 30)
	one := "00011000 <first+0x0>"
	want := []string{
		`# process 1234 ./prog\x1b[31m a\\b\x0a`,
		`# thread 1235 "a"b\x1b]0;x\x07\x0a\xe2\x80\xae"`, one,
		`# thread 1235 "d"`, `# not stopped: in state D\x1b`,
		`# thread 1235 "n"`, "# end: no registers",
		`# thread 1235 ""`, one,
	}
	for _, text := range []string{
		"cut after 256 frames (--max-frames)",
		"no unwind information for (anon)",
		"no unwind information for /lib/libfoo.so",
		`no unwind information for /lib/a b\x1b[31m\x0a.so`,
		`no unwind information for [anon:jit\x1b]`,
		"no unwind information for unmapped memory",
		"unusable unwind information for /lib/libfoo.so",
		"cannot read the stack at fffff000",
		"the next frame would lie below this one, at 007ff000",
		"the return address 00001234 is not code",
		"the stack goes round in circles at 007ff000",
		"the value of ebp is not known",
		"the value of register 30 is not known",
	} {
		want = append(want, `# thread 1235 ""`, one, "# end: "+text)
	}
	golden(t, s.text(), want...)
}

// A signal's name stands before its trampoline, and each thread has its own
// digits.
func TestSignals(t *testing.T) {
	s := newPrinter(t, text.Options{}, testMaps)
	tramp := func(signo uint8) unwind.Frame {
		return unwind.Frame{PC: 0x11008, Exact: true, Signal: true, Signo: signo}
	}
	s.threads(
		thread(i386.Arch, exact(0x11000), tramp(10), exact(0x11040), ret(0x11044)),
		thread(amd64.Arch, tramp(0), exact(0x11040), tramp(37), exact(0x11000)),
	)
	golden(t, s.text(),
		`# thread 1235 "worker"`,
		"00011000 <first+0x0>",
		"# signal SIGUSR1",
		"00011008 <first+0x8>",
		"00011040 <foo::bar(int)+0x0>", // exact: not the call before it
		"00011044 <foo::bar(int)+0x4>",
		`# thread 1235 "worker"`,
		"# signal",
		"0000000000011008 <first+0x8>",
		"0000000000011040 <foo::bar(int)+0x0>",
		"# signal SIGRTMIN+3",
		"0000000000011008 <first+0x8>",
		"0000000000011000 <first+0x0>",
	)
}

// What a report holds before the stacks: nothing in it drives the terminal, and
// each line is one line.
func TestMaps(t *testing.T) {
	s := newPrinter(t, text.Options{Color: true}, testMaps)
	s.Maps(trace.Head(s.space, s.sym))
	golden(t, s.text(),
		"00010000-00012000 r-xp 00000000 08:01 1                                  /lib/libfoo.so",
		"00020000-00022000 r-xp 00000000 08:01 2                                  /lib/a b\\x1b[31m\\012.so",
		"00030000-00031000 rwxp 00000000 00:00 0 ",
		"00040000-00041000 r-xp 00003000 08:01 3                                  /lib/gone.so (deleted)",
		"00050000-00051000 rwxp 00000000 00:00 0                                  [anon:jit\\x1b]",
		"# build-id cafe01 /lib/libfoo.so",
		`# build-id cafe01 /lib/a b\x1b[31m\x0a.so`,
	)
}

// --verbose tells of each frame how it was found and what named it.
func TestNotes(t *testing.T) {
	s := newPrinter(t, text.Options{}, testMaps)
	var notes []string
	render.Notes(s.model(thread(i386.Arch, exact(0x11000), ret(0x110f0), ret(0x30010), ret(0x40010))), func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) })
	want := []string{
		"thread 1235: 00011000 found by registers, named by .symtab of /lib/libfoo.so (opened by test)",
		"thread 1235: 000110f0 found by cfi, not named: no symbol covers it, /lib/libfoo.so (opened by test)",
		"thread 1235: 00030010 found by cfi, not named: anonymous memory",
		"thread 1235: 00040010 found by cfi, not named: its file cannot be read, /lib/gone.so: /lib/gone.so: gone",
	}
	if d := cmp.Diff(want, notes); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
