// Package hotspot reads the frames of Java programs that run in HotSpot, the virtual
// machine of OpenJDK: those of the interpreter and of compiled methods with what is
// inlined into them, the states of threads, and monitors.
//
// libjvm describes its own data for debuggers (hotspot/share/runtime/vmStructs.cpp):
// nothing here depends on the offsets of a version, but some things on which fields a
// version has. What was compiled has no call frame information; the size of its frames
// is in its CodeBlob, and Unwinder's rows are made of it.
package hotspot

import (
	"errors"
	"path"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

const language = "java"

// Finder finds HotSpot.
var Finder = runtimes.Finder{Language: language, Find: find}

// reader reads one virtual machine.
type reader struct {
	l     *layout
	wants runtimes.Wants
	arch  *arch.Arch

	heaps   []codeHeap
	blobs   []blob // that the stacks may lead to, sorted by begin
	threads map[int]*javaThread
	lost    int  // interpreter frames whose method could not be read
	code    code // for the walk
	core    bool
	memory  *process.Recorder // of a core, where blobs are read when they are asked for
}

func find(t *runtimes.Target) (runtimes.Reader, error) {
	if !t.Wants.Languages || t.Space.PtrSize() != 8 {
		return nil, nil
	}
	jvm := module(t.Space)
	if jvm == nil {
		return nil, nil
	}
	im, err := jvm.Image()
	if err != nil {
		return nil, err
	}
	if _, ok := im.Variable("gHotSpotVMStructs", false); !ok {
		return nil, nil // another virtual machine: OpenJ9
	}
	symbol := func(name string) (uint64, bool) { return t.Space.Variable(jvm, name, false) }
	s, ok := readStructs(t.Memory, symbol)
	if !ok {
		return nil, errors.New("libjvm's description of itself cannot be read")
	}
	l, err := newLayout(t.Memory, s)
	if err != nil {
		return nil, err
	}
	return &reader{l: l, wants: t.Wants, arch: im.Arch(), core: t.Core}, nil
}

// module returns the virtual machine.
func module(space *image.Space) *image.Module {
	for _, m := range space.Modules() {
		if path.Base(m.Path) == "libjvm.so" && m.HasCode() {
			return m
		}
	}
	return nil
}

// Language implements runtimes.Reader.
func (r *reader) Language() string { return language }

// Copy implements runtimes.Reader. Which code the frames are of is not known before the
// walk: whatever on the stacks points into the code cache is read.
func (r *reader) Copy(s *process.Stopped) {
	m := s.Memory
	r.heaps, r.blobs = r.l.readHeaps(m), nil
	r.threads = r.l.readThreads(m)
	if r.core {
		r.memory = m
		return
	}
	if len(r.heaps) == 0 {
		return
	}
	c := copier{r: r, m: m, seen: make(map[uint64]bool), begins: make(map[uint64]bool)}
	for i := range s.Threads {
		c.thread(&s.Threads[i])
	}
}

// copier reads what the stacks lead to.
type copier struct {
	r      *reader
	m      *process.Recorder
	seen   map[uint64]bool // words
	begins map[uint64]bool // blobs
}

// maxWords bounds the addresses of compiled code that are looked up in one stop.
const maxWords = 1 << 17

func (c *copier) thread(t *process.StoppedThread) {
	if t.Arch == nil || !t.HasRegs || t.Arch.PtrSize != 8 {
		return
	}
	if pc, ok := t.Regs.Get(t.Arch.PC); ok {
		c.address(pc, true)
	}
	fp, _ := t.Regs.Get(t.Arch.FP)
	c.interpreted(fp)
	if jt := c.r.threads[t.TID]; jt != nil {
		c.address(jt.pc, false)
		c.interpreted(jt.fp)
	}
	for i := 0; i+8 <= len(t.Stack); i += 8 {
		if w := word(t.Stack, uint64(i)); c.r.inHeaps(w) && c.address(w, false) == interpreter && i >= 8 {
			c.interpreted(word(t.Stack, uint64(i-8)))
		}
	}
}

// address reads what there is about an address in the code cache, once.
func (c *copier) address(pc uint64, exact bool) blobKind {
	if !c.r.inHeaps(pc) {
		return stub
	}
	if c.seen[pc] || len(c.seen) >= maxWords {
		if b := c.r.blobOf(pc); b != nil {
			return b.kind
		}
		return stub
	}
	c.seen[pc] = true
	b := c.r.blobOf(pc)
	if b == nil {
		got, ok := c.r.l.blobAt(c.m, c.r.heaps, pc)
		if !ok || c.begins[got.begin] {
			return stub
		}
		c.begins[got.begin] = true
		c.r.add(got)
		b = &got
	}
	c.r.names(c.m, b, pc, exact)
	return b.kind
}

// interpreted reads the method of the interpreter's frame at fp.
func (c *copier) interpreted(fp uint64) {
	if at, ok := c.r.l.interpreterFrame(c.m, fp); ok {
		c.r.l.name(c.m, at)
	}
}

// interpreterFrame reads what the interpreter's frame at fp executes
// (cpu/*/frame_*.hpp). It reports false for one that is none, or is not made yet.
func (l *layout) interpreterFrame(m *process.Recorder, fp uint64) (bytecode, bool) {
	if fp == 0 || fp%8 != 0 {
		return bytecode{}, false
	}
	method, ok1 := m.Word(fp-3*8, 8)
	bcp, ok2 := m.Word(uint64(int64(fp)+8*l.bcpSlot), 8)
	if !ok1 || !ok2 || method == 0 || method%8 != 0 {
		return bytecode{}, false
	}
	return bytecode{method, l.bci(m, method, bcp)}, true
}

// bci is the index of the bytecode at bcp, unknownBCI where that is not the method's.
func (l *layout) bci(m *process.Recorder, method, bcp uint64) int64 {
	cm, ok := m.Word(method+l.constMethod, 8)
	size, ok2 := m.Word(cm+l.codeSize, 2)
	if start := cm + l.constMethodSize; ok && ok2 && bcp >= start && bcp-start < size {
		return int64(bcp - start)
	}
	return unknownBCI
}

// names returns what the code of a blob is called at pc, the innermost method first.
func (r *reader) names(m *process.Recorder, b *blob, pc uint64, exact bool) (names []stack.Name) {
	if b.kind != compiled && b.kind != native {
		return nil
	}
	list := []bytecode{{b.method, unknownBCI}}
	if b.kind == compiled {
		if scopes, ok := r.l.scopes(m, b, pc, exact); ok {
			list = scopes
		}
	}
	for _, at := range list {
		n, ok := r.l.name(m, at)
		if !ok {
			return nil
		}
		names = append(names, n)
	}
	return names
}

// Threads implements runtimes.Reader.
func (r *reader) Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) error {
	for i := range threads {
		r.thread(&p.Threads[i], &threads[i], m)
	}
	if r.lost > 0 {
		return errors.New("the methods of some of the interpreter's frames could not be read")
	}
	return nil
}

func (r *reader) thread(t *stack.Thread, u *process.Unwound, m *process.Recorder) {
	for j := range u.Stack.Frames {
		f := &u.Stack.Frames[j]
		b := r.blobOf(f.Lookup())
		if b == nil {
			continue
		}
		out := &t.Frames[j]
		switch b.kind {
		case compiled, native:
			out.Names = r.names(m, b, f.PC, f.Exact)
			if len(out.Names) == 0 {
				out.Names = b.native(f.PC)
			}
		case interpreter:
			out.Names, out.Runtime = b.native(f.PC), true
			if !r.runsMethod(u, j) {
				continue
			}
			at, ok := r.l.interpreterFrame(m, f.FP)
			if bcp, known := r.bcp(u, j); ok && known {
				if bci := r.l.bci(m, at.method, bcp); bci != unknownBCI {
					at.bci = bci
				}
			}
			n, named := r.l.name(m, at)
			if !ok || !named {
				r.lost++
				continue
			}
			out.Names = append([]stack.Name{n}, out.Names...)
		default:
			out.Names, out.Runtime = b.native(f.PC), true
		}
	}
	if jt := r.threads[t.TID]; jt != nil {
		r.about(t, jt)
	}
}

// native is the name of the blob's own code.
func (b *blob) native(pc uint64) []stack.Name {
	return []stack.Name{{Symbol: b.name, Offset: pc - b.begin, Source: "libjvm"}}
}

// runsMethod reports whether the frame of the interpreter's code is that of a method: its
// frame pointer must be its own, which holds for all but the innermost frame, and there
// unless the code has not made a frame yet.
func (r *reader) runsMethod(u *process.Unwound, j int) bool {
	f := &u.Stack.Frames[j]
	return f.FP != 0 && f.FP >= f.SP
}

// bcp is the register in which the interpreter keeps the address of the bytecode, in the
// frame that was interrupted.
func (r *reader) bcp(u *process.Unwound, j int) (uint64, bool) {
	if j != 0 || u.Arch == nil || u.Arch.HotSpot == nil {
		return 0, false
	}
	return u.Regs.Get(u.Arch.HotSpot.BCP)
}

// Process implements runtimes.Reader.
func (r *reader) Process(*stack.Process, *process.Recorder) error { return nil }
