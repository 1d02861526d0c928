//go:build linux

package bt

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/gate/store"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// Options says what is wanted, and where things are. The zero value is what the
// program bt does without flags, into a pipe.
type Options struct {
	// Threads are the TIDs of the threads that are wanted; none: all.
	Threads []int
	// MaxFrames bounds the frames of a thread. 0 stands for 256, and -1 for no
	// limit. A stack that was cut ends with stack.MaxFrames.
	MaxFrames int
	// MaxPause bounds how long a process is stopped; 0 stands for one second.
	MaxPause time.Duration

	// Raw leaves frames without names and modules.
	Raw bool
	// Native leaves out the frames of language runtimes, and goroutines.
	Native bool
	// Waits adds what sleeping threads wait for and who holds that, and deadlocks, also
	// those that lead through processes that the session has looked at before.
	Waits bool
	// Kernel adds the threads' stacks inside the kernel, which takes root.
	Kernel bool
	// Lines adds the places in the source, and inlined calls.
	Lines bool
	// Demangle says what becomes of C++ and Rust names.
	Demangle symbolize.Demangle
	// Versions adds the versions of symbols.
	Versions bool

	// Exe is the program of a core, where the core does not tell where it is.
	Exe string
	// DebugDirs are where separate debug files are; nil stands for /usr/lib/debug.
	DebugDirs []string
	// Debuginfod are the URLs of servers to download debug files from. With none
	// nothing is downloaded. The program bt-debuginfod must be beside the running
	// program, or on the PATH.
	Debuginfod []string
	// Sysroot is the directory that holds the target's files, if these are a copy.
	Sysroot string
	// Procfs is where procfs is mounted; empty for /proc.
	Procfs string
	// GateDSO names the gate DSO, the code that the kernel maps into every process:
	// the path of a file, "live" for the image in the process, or "" to leave it
	// unnamed. nil: as the program bt decides it, by the environment, the maps, the
	// kernel and what is registered.
	GateDSO *string
}

// Session looks at several targets with the same options. It keeps opened files
// for the next one. Its methods are safe for concurrent use, but for Close.
type Session struct {
	options Options
	s       *session.Session
}

// New starts a session. Nothing is opened before it is needed. The caller must
// Close it. A nil o stands for the zero value.
func New(o *Options) *Session {
	s := new(Session)
	if o != nil {
		s.options = *o
	}
	o = &s.options
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	if o.DebugDirs == nil {
		o.DebugDirs = []string{debugfile.DefaultDir}
	}
	g := gate.Sources{Flag: o.GateDSO, Procfs: o.Procfs, Sysroot: o.Sysroot, StateDirs: store.Dirs("", os.Getenv, os.Geteuid())}
	if v, ok := os.LookupEnv(gate.Env); ok {
		g.Env = &v
	}
	s.s = session.New(session.Options{
		Procfs:    o.Procfs,
		Sysroot:   o.Sysroot,
		DebugDirs: o.DebugDirs,
		Download:  len(o.Debuginfod) > 0,
		Servers:   o.Debuginfod,
		Gate:      g,
		Demangle:  o.Demangle,
		Versions:  o.Versions,
		Lines:     o.Lines,
	})
	return s
}

// Close releases what the session holds. What it has returned stays.
func (s *Session) Close() error { return s.s.Close() }

// Stacks returns the stacks of the process with the thread pid. The error says why
// there are none: no such process, not permitted, a kernel thread, this process
// itself. Where some are missing there is none, but a note of the kind "missing" in
// the model. When ctx ends before the process was stopped, or while stacks are
// named, the error is that of ctx.
func (s *Session) Stacks(ctx context.Context, pid int) (*stack.Process, error) {
	p, err := live.Open(pid, s.options.Procfs)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	taken, err := s.s.Stop(ctx, p, s.stackOptions())
	if err != nil {
		return nil, err
	}
	defer taken.Close()
	return s.name(ctx, taken, nil)
}

// Core returns the stacks in a core file, which may be compressed. See Stacks.
func (s *Session) Core(ctx context.Context, path string) (*stack.Process, error) {
	var lacks []string
	c, err := s.s.OpenCore(path, s.options.Exe, func(format string, args ...any) {
		lacks = append(lacks, fmt.Sprintf(format, args...))
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	taken, err := c.Stacks(ctx, s.stackOptions())
	if err != nil {
		return nil, err
	}
	defer taken.Close()
	return s.name(ctx, taken, lacks)
}

func (s *Session) stackOptions() session.StackOptions {
	o := session.StackOptions{TIDs: s.options.Threads, MaxFrames: s.options.MaxFrames, MaxPause: s.options.MaxPause, Native: s.options.Native || s.options.Raw,
		Waits: s.options.Waits, Kernel: s.options.Kernel}
	switch {
	case o.MaxFrames == 0:
		o.MaxFrames = 256
	case o.MaxFrames < 0:
		o.MaxFrames = 0
	}
	if o.MaxPause == 0 {
		o.MaxPause = time.Second
	}
	return o
}

// name names the frames, and notes what is missing.
func (s *Session) name(ctx context.Context, taken *session.Stacks, lacks []string) (*stack.Process, error) {
	m := taken.Model
	if !s.options.Raw {
		sym, err := taken.Symbols()
		if err != nil {
			lacks = append(lacks, err.Error())
		}
		if err := s.cancelable(ctx, func() { sym.Stacks(m) }); err != nil {
			return nil, err
		}
	}
	lacks = append(lacks, taken.Missing...)
	if taken.NotKept != "" {
		lacks = append(lacks, taken.NotKept)
	}
	for _, text := range lacks {
		m.Notes = append(m.Notes, stack.Note{Kind: "missing", Text: text, Missing: true})
	}
	return m, ctx.Err()
}

// cancelable calls naming, which may download debug files: when ctx ends, nothing
// is downloaded any more.
func (s *Session) cancelable(ctx context.Context, naming func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.s.StopDownloads)
	defer stop()
	naming()
	return ctx.Err()
}

// Frames names addresses in a process, which is not stopped. The PC of each frame
// is given, and whether it is Exact: if not, it is a return address, and named by
// the call in front of it. All else is set.
func (s *Session) Frames(ctx context.Context, pid int, frames []stack.Frame) error {
	p, err := live.Open(pid, s.options.Procfs)
	if err != nil {
		return err
	}
	defer p.Close()
	text, err := p.Maps()
	if err != nil {
		return err
	}
	m, err := maps.Parse(text)
	if err != nil {
		return fmt.Errorf("process %d: %w", p.PID, err)
	}
	names, done := s.s.ProcessNames(p, m)
	defer done()
	space := image.NewSpace(m, snapshot.Source(p, s.options.Sysroot), s.s.Images)
	defer space.Close()
	// An error is about the gate DSO; its frames say that they have no name.
	sym, _ := symbolize.New(space, names)
	return s.cancelable(ctx, func() { sym.Frames(frames) })
}

// Stacks returns the stacks of the process with the thread pid: see Session.Stacks.
// A nil o stands for the zero value.
func Stacks(ctx context.Context, pid int, o *Options) (*stack.Process, error) {
	s := New(o)
	defer s.Close()
	return s.Stacks(ctx, pid)
}

// Core returns the stacks in a core file: see Session.Core. A nil o stands for the
// zero value.
func Core(ctx context.Context, path string, o *Options) (*stack.Process, error) {
	s := New(o)
	defer s.Close()
	return s.Core(ctx, path)
}

// Names names addresses in a process, which is not stopped: see Session.Frames. All
// of them are taken as exact. A nil o stands for the zero value.
func Names(ctx context.Context, pid int, addrs []uint64, o *Options) ([]stack.Frame, error) {
	s := New(o)
	defer s.Close()
	frames := make([]stack.Frame, len(addrs))
	for i, addr := range addrs {
		frames[i] = stack.Frame{PC: addr, Exact: true}
	}
	if err := s.Frames(ctx, pid, frames); err != nil {
		return nil, err
	}
	return frames, nil
}
