//go:build linux

// Package golang reads the goroutines of Go programs, of Go 1.18 and later.
//
// The runtime keeps all of them in the slice runtime.allgs. A symbol tells where it is,
// or, in a stripped program, the code of functions that use it. Of each goroutine its
// structure (runtime.g) and its stack are copied in the stop; the stack is unwound
// afterwards. Where the fields lie differs from one Go to the next: layouts.go has the
// tables, and what is read is checked before it is believed.
package golang

import (
	"errors"
	"fmt"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

// Language is the word for the runtime in the model.
const Language = "go"

// maxPrograms bounds the Go runtimes in one process: each shared library that Go has
// made with -buildmode=c-shared has its own.
const maxPrograms = 16

// reader is the Go runtimes of one process.
type reader struct {
	target   *runtimes.Target
	programs []*program
	failed   error // why one of them cannot be read
	all      bool  // all threads of the process are wanted
	now      int64 // nanotime at the stop, 0 where it is not known
}

// program is one Go runtime.
type program struct {
	module  *image.Module
	im      *image.Image
	bias    uint64
	arch    *arch.Arch
	version string
	lay     *layout
	reasons []reason
	allgs   uint64 // the address of the slice

	taken   taken
	scratch scratch
	names   names
}

// Find implements runtimes.Find.
func Find(t *runtimes.Target) (runtimes.Reader, error) {
	r := &reader{target: t}
	for _, m := range t.Space.Modules() {
		if !m.HasCode() || m.Gate != 0 || len(r.programs) == maxPrograms {
			continue
		}
		im, err := m.Image()
		if err != nil || len(im.GoEntries("runtime.newproc1")) == 0 {
			continue
		}
		p, err := newProgram(t, m, im)
		if err != nil {
			r.failed = errors.Join(r.failed, err)
			continue
		}
		r.programs = append(r.programs, p)
	}
	if len(r.programs) == 0 {
		return nil, r.failed
	}
	return r, nil
}

// newProgram prepares to read the goroutines of a module that holds Go's runtime.
func newProgram(t *runtimes.Target, m *image.Module, im *image.Image) (*program, error) {
	start, _ := m.Range()
	place := t.Space.Locate(start)
	p := &program{module: m, im: im, bias: place.Bias, arch: im.Arch(), version: goVersion(im)}
	p.names.init(t.Space)
	if place.Image != im {
		return nil, p.fail("it is not known where it was loaded to")
	}
	minor := minorOf(p.version)
	if p.arch == nil {
		return nil, p.fail("bt does not unwind this CPU")
	}
	if minor != 0 && minor < oldest {
		return nil, p.fail("it was made by %s; bt reads goroutines from Go 1.%d on", escape.Name(p.version), oldest)
	}
	if minor == 0 {
		minor = newest
	}
	if p.lay = layoutFor(minor, p.arch.PtrSize); p.lay == nil {
		return nil, p.fail("bt has no table of the structures of Go 1.%d", minor)
	}
	p.names.wrapper = p.lay.wrapperID
	p.reasons = waitReasons[p.lay.minor]
	if err := p.locate(t.Memory); err != nil {
		return nil, err
	}
	if t.Core {
		return p, nil
	}
	_, n, _ := p.slice(t.Memory, p.allgs)
	p.prepare(int(n))
	return p, nil
}

// fail returns an error that tells the module where there may be several.
func (p *program) fail(format string, args ...any) error {
	return fmt.Errorf("goroutines of %s: %s", escape.Name(p.module.Path), fmt.Sprintf(format, args...))
}

// Language implements runtimes.Reader.
func (r *reader) Language() string { return Language }

// Needs implements runtimes.Needer: the structure of each goroutine, a piece of its stack,
// and what it waits for. The structures lie side by side, in slots of the next size that
// the runtime's allocator has.
func (r *reader) Needs() (need process.Need) {
	for _, p := range r.programs {
		n := cap(p.scratch.addrs)
		need.Bytes += n * (p.lay.gSize()*5/4 + 512 + 128 + p.lay.word)
		need.Ranges += 3 * n
	}
	return need
}

// Copy implements runtimes.Reader.
func (r *reader) Copy(s *process.Stopped) {
	r.all = len(s.Threads) == len(s.TIDs)
	r.now = 0
	if !r.target.Core {
		r.now = nanotime(r.target)
	}
	for _, p := range r.programs {
		p.copy(s.Memory, r.target.Wants.MaxFrames, r.all)
	}
}

// Threads implements runtimes.Reader.
func (r *reader) Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) error {
	for _, prog := range r.programs {
		prog.join(p, threads, r.now)
	}
	return nil
}

// Process implements runtimes.Reader.
func (r *reader) Process(p *stack.Process, m *process.Recorder) error {
	failed := r.failed
	for _, prog := range r.programs {
		failed = errors.Join(failed, prog.taken.failed)
		if r.all {
			failed = errors.Join(failed, prog.goroutines(p, m, r))
		}
	}
	return failed
}
