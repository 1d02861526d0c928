//go:build linux

// Package report is the worker of the crash handler: it reads a core from a
// pipe and the mapped files from descriptors that it was given, and writes the
// stacks, named.
package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/crash"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/process/core"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// maxFrames bounds a thread's stack, as bt does by default.
const maxFrames = 256

// Write writes a report of the core that it reads from in. What is missing is
// said in the report; the error is for w alone.
func Write(w io.Writer, in io.Reader, job *crash.Job) error {
	out := bufio.NewWriterSize(w, 64<<10)
	// What was written reaches the report, also of a worker that fails.
	defer out.Flush()
	r := reporter{w: out, job: job}
	if len(job.Maps) > 0 {
		m, err := maps.Parse(job.Maps)
		if err != nil {
			r.problem("%v", err)
		}
		r.maps = m
	}
	// The rest of the time is for the stacks.
	reading := newTimed(in, job.Timeout/4*3)
	f, err := core.Stream(reading, core.StreamOptions{})
	if err == nil {
		defer f.Close()
	}
	r.about(f)
	if reading.late() {
		r.line("incomplete: not done within %v: the core was read up to byte %d", job.Timeout.Round(time.Millisecond), reading.n)
	}
	if err != nil {
		r.problem("the core could not be read: %v", err)
		r.mapsAlone()
		return out.Flush()
	}
	r.core(f)
	return out.Flush()
}

// reporter writes one report.
type reporter struct {
	w    *bufio.Writer
	job  *crash.Job
	maps *maps.Map // nil if the process is gone
}

// line writes a line of the report's head.
func (r *reporter) line(format string, args ...any) {
	fmt.Fprintf(r.w, "# crash %s\n", escape.Sprintf(format, args...))
}

func (r *reporter) problem(format string, args ...any) {
	r.line("problem: "+format, args...)
}

// about writes who reads the core, and what /proc told of the process if that is
// the one whose core f is; else what the core tells itself. f is nil if it could
// not be read.
func (r *reporter) about(f *core.File) {
	fmt.Fprintf(r.w, "%suser %d group %d\n", crash.AboutMark, os.Getuid(), os.Getgid())
	if f == nil || r.maps == nil || isOf(f, r.maps) {
		for _, line := range r.job.About {
			r.w.WriteString(line + "\n")
		}
		return
	}
	r.problem("process %d in /proc is not the one whose core this is, which has ended: its files, maps and arguments were not used", r.job.Request.PID)
	r.maps, r.job.Threads = nil, nil
	r.job.Name = "[" + r.job.Request.Name + "]"
	if args := escape.Name(f.Args); args != "" {
		r.line("command %s (as the core tells, which keeps its beginning)", args)
	}
}

// mapsAlone writes the maps where there is no core.
func (r *reporter) mapsAlone() {
	if r.maps == nil {
		return
	}
	space := image.NewSpace(r.maps, noCore{r.open}, new(image.Cache))
	sym, _ := symbolize.New(space, r.names())
	p := text.Printer{W: r.w}
	p.Head(&stack.Process{PID: r.job.Request.PID, Name: r.job.Name}, render.Sample{})
	p.Maps(trace.Head(space, sym))
}

// core writes what the core tells.
func (r *reporter) core(f *core.File) {
	for _, p := range f.Problems {
		r.problem("the core: %s", p)
	}
	for i := range f.Threads {
		t := &f.Threads[i]
		if name := r.job.Threads[t.TID]; name != "" {
			t.Name = name
		}
	}
	src := snapshot.NewCoreSource(f, snapshot.CoreFiles{Maps: r.maps, Open: r.open})
	defer src.Close()
	stacks := snapshot.Core(src, snapshot.Options{MaxFrames: maxFrames, Cache: new(image.Cache)})
	defer stacks.Close()
	sym, err := symbolize.New(stacks.Space, r.names())
	if err != nil {
		r.problem("%v", err)
	}
	m := trace.Process(r.job.Request.PID, r.job.Name, f.PtrSize(), stacks)
	if d, ok := src.Death(); ok {
		cause := fault.Explain(d)
		trace.Died(m, &cause)
	}
	p := text.Printer{W: r.w, Options: text.Options{Source: true, Inlines: true}}
	p.Head(m, render.Sample{})
	// Whatever comes next, why it died is known.
	r.w.Flush()
	p.Maps(trace.Head(stacks.Space, sym))
	r.w.Flush()
	sym.Stacks(m)
	r.lines(sym, m)
	p.Threads(m)
	if f.Partial {
		r.partial(m)
	}
}

// partial says of stacks that end in memory which was not kept why.
func (r *reporter) partial(m *stack.Process) {
	for i := range m.Threads {
		if m.Threads[i].End.Reason == stack.NoMemory {
			r.problem("the core has memory that was not kept")
			return
		}
	}
}

// names says how addresses are named: by the mapped files and by debug files of
// the host, found by build ID alone. A path that the process has chosen is not
// opened, nothing is downloaded, and no JIT compiler's file is read.
func (r *reporter) names() symbolize.Options {
	return symbolize.Options{
		Gate:        gate.Setting{Value: gate.Live, From: "default"},
		MaxInflated: maxInflated,
		Debug:       &debugfile.Finder{Dirs: []string{debugfile.DefaultDir}, BuildIDOnly: true},
	}
}

// open opens the file behind a mapping, if it is among those of the job.
func (r *reporter) open(m *maps.Mapping) (*os.File, string, error) {
	if r.maps == nil {
		return nil, "", os.ErrNotExist
	}
	f, err := r.job.Open(m.Dev, m.Inode)
	return f, "map_files", err
}

// noCore is a image.Source without memory.
type noCore struct {
	open func(*maps.Mapping) (*os.File, string, error)
}

func (s noCore) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	f, via, err := s.open(m)
	return f, via, err == nil, err
}

func (noCore) ReadMemory(uint64, []byte) (int, error) { return 0, core.ErrNotHeld }

func (noCore) BuildID(*maps.Mapping) []byte { return nil }

// timed ends a stream when its time is up, also one that does not come on: a
// process can be dumped from a file system that has stopped to answer.
type timed struct {
	r   io.Reader
	end time.Time
	n   int64 // bytes read
	cut bool
}

func newTimed(r io.Reader, d time.Duration) *timed {
	t := &timed{r: r, end: time.Now().Add(d)}
	f, ok := r.(*os.File)
	if !ok {
		return t
	}
	// A file that does not block is one that Go can wait for with a deadline.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil || unix.SetNonblock(fd, true) != nil {
		return t
	}
	waiting := os.NewFile(uintptr(fd), f.Name())
	if waiting.SetReadDeadline(t.end) == nil { // a file on disk has none, nor does it need one
		t.r = waiting
	}
	return t
}

func (t *timed) Read(b []byte) (int, error) {
	if time.Now().After(t.end) {
		t.cut = true
		return 0, os.ErrDeadlineExceeded
	}
	n, err := t.r.Read(b)
	t.n += int64(n)
	t.cut = t.cut || errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

func (t *timed) late() bool { return t.cut }
