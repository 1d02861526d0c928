//go:build linux

package record

import (
	"bytes"
	"time"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/runtimes/all"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// view is the address space of the process as long as what is mapped executable in it
// stays the same.
type view struct {
	mm    *maps.Map // as read last: the mappings of data change all the time
	text  []byte    // that it was made of
	space *image.Space
	set   *runtimes.Set
	sym   *symbolize.Symbolizer
	gate  error // what is wrong with the gate DSO
	done  func()

	walkers map[*arch.Arch]*unwind.Walker
	parsed  map[*arch.Arch]*unwind.Walker // for the walks in the stop
	renewed time.Time                     // when the walkers were made
	moving  bool                          // there is code in memory of no file

	modules map[*image.Module]int32
	places  map[seen]int32 // places in modules by their addresses
	fresh   []named        // places without names yet
}

// seen is an address as a walk finds it.
type seen struct {
	pc     uint64
	exact  bool
	signal uint8
}

// named is a place and the address by which it is named.
type named struct {
	place int32
	pc    uint64
}

// maxFresh is after how many places names are looked for.
const maxFresh = 4096

// newView opens what is mapped. native leaves out language runtimes.
func newView(s *session.Session, p *live.Process, text []byte, native bool, maxFrames int) (*view, error) {
	mm, err := maps.Parse(text)
	if err != nil {
		return nil, err
	}
	source := s.Source(p)
	v := &view{mm: mm, text: text, space: image.NewSpace(mm, source, s.Images),
		modules: make(map[*image.Module]int32), places: make(map[seen]int32)}
	v.space.Prepare()
	v.set = runtimes.FindAll(&runtimes.Target{
		PID: p.PID, Space: v.space, Wants: runtimes.Wants{Languages: !native, MaxFrames: maxFrames},
		Memory: process.NewRecorder(process.FetchBy(func(addr uint64, b []byte) int {
			n, _ := source.ReadMemory(addr, b)
			return n
		})),
	}, finders(native))
	names, done := s.ProcessNames(p, mm)
	v.done = done
	v.sym, v.gate = symbolize.New(v.space, names)
	for i := range mm.Entries {
		e := &mm.Entries[i]
		v.moving = v.moving || e.Perm&maps.Exec != 0 && !e.IsFile() && mm.GateOf(e) == maps.NoGate
	}
	v.newWalkers()
	return v, nil
}

// finders are those of the runtimes whose frames are not the native ones. Go's are: its
// goroutines, of which a program can have a hundred thousand, are not read.
func finders(native bool) []runtimes.Finder {
	if native {
		return nil
	}
	var out []runtimes.Finder
	for _, f := range all.Finders() {
		if f.Language != "go" {
			out = append(out, f)
		}
	}
	return out
}

// walkerAge is how long a walker may remember code that is in memory of no file.
const walkerAge = 500 * time.Millisecond

func (v *view) newWalkers() {
	v.walkers, v.parsed = make(map[*arch.Arch]*unwind.Walker), make(map[*arch.Arch]*unwind.Walker)
	v.renewed = time.Now()
}

// close ends the use of the files; names are looked for before.
func (v *view) close() {
	v.done()
	v.space.Close()
}

// sameCode reports whether maps that were read later agree in all that is executable,
// and takes them in then.
func (v *view) sameCode(text []byte) bool {
	if bytes.Equal(text, v.text) {
		return true
	}
	mm, err := maps.Parse(text)
	if err != nil || len(mm.Entries) == 0 || !sameCode(v.mm, mm) {
		return false
	}
	v.mm, v.text = mm, text
	return true
}

// code are the entries of maps that have to do with code.
func code(mm *maps.Map) map[maps.Mapping]bool {
	out := make(map[maps.Mapping]bool)
	for i := range mm.Entries {
		if mm.Entries[i].Perm&maps.Exec != 0 {
			out[mm.Entries[i]] = true
		}
	}
	return out
}

func sameCode(a, b *maps.Map) bool {
	x, y := code(a), code(b)
	for m := range x {
		if !y[m] {
			return false
		}
	}
	return len(x) == len(y)
}

// replaced are the places whose code is another one's by maps that were read later: it
// is not known which it was when they were seen.
func (v *view) replaced(now *maps.Map) map[int32]bool {
	out := make(map[int32]bool)
	for at, place := range v.places {
		pc := at.lookup()
		before, after := v.space.Maps.Find(pc), now.Find(pc)
		if after == nil || after.Perm&maps.Exec == 0 || before == nil {
			continue
		}
		// The same file at the same place, whatever else was split off or added.
		if before.Dev != after.Dev || before.Inode != after.Inode || before.Path != after.Path ||
			before.Offset-before.Start != after.Offset-after.Start {
			out[place] = true
		}
	}
	return out
}

// lookup is the address of the instruction: a return address is behind it.
func (s *seen) lookup() uint64 {
	if s.exact || s.pc == 0 {
		return s.pc
	}
	return s.pc - 1
}

// walk unwinds a thread. code is nil for the view's own.
func (v *view) walk(t *process.Thread, mem unwind.Memory, walkers map[*arch.Arch]*unwind.Walker, code unwind.Code, maxFrames int) unwind.Stack {
	if t.Kernel != "" {
		return unwind.Stack{}
	}
	if t.Arch == nil || !t.HasRegs {
		return unwind.Stack{End: unwind.EndNoRegister}
	}
	w := walkers[t.Arch]
	if w == nil {
		w = unwind.New(t.Arch, code)
		walkers[t.Arch] = w
	}
	return w.Walk(unwind.Start{
		Regs: t.Regs, Blocked: t.Blocked, HasBlocked: t.HasBlocked, PACMask: t.PACMask, MaxFrames: maxFrames,
	}, mem)
}

// unknown reports whether a stack leads to code that is not in the maps.
func (v *view) unknown(s *unwind.Stack) bool {
	switch s.End {
	case unwind.EndBadReturn, unwind.EndNoInfo, unwind.EndNotCalled:
		return true
	}
	for i := range s.Frames {
		if !v.space.Executable(s.Frames[i].Lookup()) {
			return true
		}
	}
	return false
}

// name names the places that have no names yet.
func (v *view) name(t *tables) {
	if len(v.fresh) == 0 {
		return
	}
	frames := make([]stack.Frame, len(v.fresh))
	for i, n := range v.fresh {
		f := &t.frames[n.place]
		frames[i] = stack.Frame{PC: n.pc, Exact: f.Exact}
	}
	v.sym.Stacks(&stack.Process{Threads: []stack.Thread{{Frames: frames}}})
	for i, n := range v.fresh {
		t.take(n.place, &frames[i])
	}
	v.fresh = v.fresh[:0]
}

// module returns the number of a module of the view.
func (v *view) module(t *tables, m *image.Module, at *maps.Mapping) int32 {
	n, ok := v.modules[m]
	if !ok {
		n = t.module(module{m.Path, at.Dev, at.Inode})
		v.modules[m] = n
	}
	return n
}

// shared returns the one of equal modules that was seen first.
func (t *tables) shared(m *stack.Module) *stack.Module {
	if m == nil {
		return nil
	}
	first := t.shown[*m]
	if first == nil {
		first = m
		t.shown[*m] = m
	}
	return first
}

// take gives a place the names of a frame, behind those of a language runtime.
func (t *tables) take(n int32, named *stack.Frame) {
	f := &t.frames[n]
	f.Module, f.ModuleOffset, f.Miss = t.shared(named.Module), named.ModuleOffset, named.Miss
	f.Names = append(f.Names[:len(f.Names):len(f.Names)], t.own(named.Names)...)
}
