//go:build linux

package steptest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// maxSteps bounds the instructions of one run of the program.
const maxSteps = 400_000

// shortVisits is how often one instruction is looked at, with -short.
const shortVisits = 8

// maxFailures bounds the places that are shown.
const maxFailures = 10

func TestEveryInstruction(t *testing.T) {
	for _, v := range variants {
		if testing.Short() && !v.short || v.full && !testenv.Full() {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			path, main, entry := build(t, v)
			testenv.Running(t)
			// Only the thread that started a tracee may ask for its registers.
			// Without the lock's end the thread ends with the test.
			runtime.LockOSThread()
			r := &run{t: t, v: v}
			r.run(path, main, entry)
			r.report()
		})
	}
}

// run is one run of a program.
type run struct {
	t *testing.T
	v variant

	tracee *tracee
	proc   *live.Process
	space  *image.Space
	walker *unwind.Walker
	shadow *shadow
	base   int // the callers of main on it
	stack  unwind.Stack

	steps    int
	count    [verdicts]int
	pending  []mismatch
	failures []string
	failed   map[string]int // by place
	allowed  map[*allowance]*[verdicts]int
}

func (r *run) run(path string, main, entry uint64) {
	t := r.t
	p, err := startTracee(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	r.tracee = p
	start, err := p.auxv(9) // AT_ENTRY
	if err != nil {
		t.Fatal(err)
	}
	if err := p.runTo(main - entry + start); err != nil {
		t.Fatal(err)
	}
	if r.proc, err = live.Open(p.pid, ""); err != nil {
		t.Fatal(err)
	}
	defer r.proc.Close()
	text, err := r.proc.Maps()
	if err != nil {
		t.Fatal(err)
	}
	mm, err := maps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r.space = image.NewSpace(mm, snapshot.Source(r.proc, ""), new(image.Cache))
	r.walker = unwind.New(p.arch, r.space)
	r.failed = make(map[string]int)
	r.allowed = make(map[*allowance]*[verdicts]int)
	for i := range r.v.allow {
		r.allowed[&r.v.allow[i]] = new([verdicts]int)
	}

	// What is below main does not change until it returns.
	below := r.below()
	last := below[len(below)-1]
	jumps := r.v.cc == "musl-gcc" && p.arch.Entry.Return.InReg // from _start on
	if r.stack.End != unwind.EndOutermost || last.PC-start >= 64 && !jumps {
		t.Fatalf("below main:\n%s", r.format(&r.stack))
	}
	r.shadow = newShadow(p.arch, below)
	r.base = len(r.shadow.entries)
	defer func() { r.settle(nil) }()
	visits := make(map[uint64]int)
	for len(r.shadow.entries) >= r.base {
		visits[p.pc]++
		if n := visits[p.pc]; !testing.Short() || n <= shortVisits || len(r.pending) > 0 {
			r.walk()
			r.check()
		}
		pc, sp, code := p.pc, p.sp, p.mem.code(p.pc)
		sig, err := p.step()
		if err != nil {
			t.Fatalf("after %d steps at %s: %v", r.steps, r.name(pc), err)
		}
		r.shadow.step(p, sig, pc, sp, code)
		if r.steps++; r.steps == maxSteps {
			t.Fatalf("main has not returned after %d steps: at %s", r.steps, r.name(pc))
		}
	}
}

// below returns the callers of main, before its first instruction.
func (r *run) below() []unwind.Frame {
	if r.walk(); r.stack.End == unwind.EndOutermost {
		return r.stack.Frames[1:]
	}
	// Nothing describes main, so go on from its return address. All other
	// registers are still its caller's.
	p := r.tracee
	regs := p.regs
	if ret := p.arch.Entry.Return; ret.InReg {
		lr, _ := regs.Get(ret.Reg)
		regs.Set(p.arch.PC, lr)
		regs.Clear(ret.Reg)
	} else {
		pc, _ := p.mem.Word(p.sp, p.arch.PtrSize)
		regs.Set(p.arch.PC, pc)
		regs.Set(p.arch.SP, p.sp+uint64(p.arch.PtrSize))
	}
	r.stack = r.walker.Walk(unwind.Start{Regs: regs, Called: true}, &p.mem)
	return r.stack.Frames
}

// walk unwinds the stack as it is.
func (r *run) walk() {
	p := r.tracee
	r.stack = r.walker.WalkInto(r.stack.Frames, unwind.Start{Regs: p.regs}, &p.mem)
}

func (r *run) check() {
	p := r.tracee
	v, at := r.shadow.compare(p.pc, p.sp, &r.stack)
	if v == right {
		r.count[v]++
		r.settle(r.stack.Frames)
		return
	}
	where := r.name(p.pc)
	m := mismatch{verdict: v, where: where, callers: slices.Clone(r.stack.Frames[1:])}
	m.allowed = r.allowance(where)
	if m.allowed == nil && r.failed[where] == 0 && len(r.failures) < maxFailures {
		m.text = fmt.Sprintf("step %d: %s: %s\nfrom frame %d\nwant:\n%sgot:\n%s",
			r.steps, where, r.instruction(), at, r.formatShadow(), r.format(&r.stack))
	}
	r.pending = append(r.pending, m)
}

// allowance returns what the variant allows while the program is at where,
// called by what main has called, or nil.
func (r *run) allowance(where string) *allowance {
	for i := range r.v.allow {
		a := &r.v.allow[i]
		if a.in == "" || strings.Contains(where, a.in) {
			return a
		}
		for _, e := range r.shadow.entries[r.base:] {
			if strings.Contains(r.name(e.pc-1), a.in) {
				return a
			}
		}
	}
	return nil
}

// mismatch is a step whose stack was not right.
type mismatch struct {
	verdict verdict
	where   string
	text    string
	callers []unwind.Frame
	allowed *allowance
}

// settle judges the steps that were not right up to here, where the stack is.
//
// The tables of glibc's longjmp describe the frame that it jumps to as its
// caller. While it runs that is neither what calls nor what will be, but once it
// has jumped it must turn out to be true.
func (r *run) settle(frames []unwind.Frame) {
	for _, m := range r.pending {
		if sameFrames(m.callers, frames) {
			m.verdict = landed
		}
		r.count[m.verdict]++
		switch {
		case m.verdict == landed:
			continue
		case m.allowed != nil:
			r.allowed[m.allowed][m.verdict]++
			continue
		}
		if r.failed[m.where]++; r.failed[m.where] == 1 && len(r.failures) < maxFailures && !r.shown(m.where) {
			r.failures = append(r.failures, m.text)
		}
	}
	r.pending = r.pending[:0]
}

// shown reports whether a failure in the same function as where is shown already.
func (r *run) shown(where string) bool {
	end := strings.LastIndexAny(where, "+:")
	return slices.ContainsFunc(r.failures, func(text string) bool { return strings.Contains(text, ": "+where[:end+1]) })
}

func sameFrames(a, b []unwind.Frame) bool {
	return slices.EqualFunc(a, b, func(a, b unwind.Frame) bool { return a.PC == b.PC && a.SP == b.SP })
}

func (r *run) report() {
	r.t.Logf("%s: %d steps, %d looked at: %d wrong, %d short, %d in longjmp", r.v.name, r.steps, r.count[right]+r.count[landed]+r.count[short]+r.count[wrong], r.count[wrong], r.count[short], r.count[landed])
	for a, n := range r.allowed {
		if n[wrong] > a.wrong || n[short] > a.short {
			r.t.Errorf("in %q: %d wrong and %d short, more than the %d and %d that are allowed: %s", a.in, n[wrong], n[short], a.wrong, a.short, a.why)
		}
	}
	if len(r.failures) > 0 {
		r.t.Errorf("%d places, among them:\n%s", len(r.failed), strings.Join(r.failures, "\n"))
	}
}

// name names an address of code, as function+offset.
func (r *run) name(pc uint64) string {
	p := r.space.Locate(pc)
	if p.Image == nil {
		return fmt.Sprintf("%x", pc)
	}
	if sym, ok := p.Image.Lookup(p.Link(pc)); ok {
		return fmt.Sprintf("%s+%#x", sym.Name, p.Link(pc)-sym.Value)
	}
	return fmt.Sprintf("%s:%#x", p.Module.Path, p.Link(pc))
}

func (r *run) instruction() string {
	p := r.tracee
	code := p.mem.code(p.pc)
	if p.arch.Disassemble != nil {
		if in, ok := p.arch.Disassemble(code, p.pc, &p.regs); ok {
			return fmt.Sprintf("%s (% x)", in.Text, code[:in.Size])
		}
	}
	return fmt.Sprintf("% x", code)
}

func (r *run) format(s *unwind.Stack) string {
	var b strings.Builder
	for _, f := range s.Frames {
		fmt.Fprintf(&b, "  %x sp %x %s (%v)\n", f.PC, f.SP, r.name(f.PC), f.How)
	}
	fmt.Fprintf(&b, "  end %d at %x\n", s.End, s.At)
	return b.String()
}

func (r *run) formatShadow() string {
	var b strings.Builder
	for i := len(r.shadow.entries) - 1; i >= 0; i-- {
		e := r.shadow.entries[i]
		fmt.Fprintf(&b, "  %x sp %x %s\n", e.pc, e.sp, r.name(e.pc))
	}
	return b.String()
}
