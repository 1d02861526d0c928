package annotate

import (
	"bytes"
	"debug/elf"
	"path"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/kallsyms"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// space is an address space as a target.
type space struct {
	space  *image.Space
	sym    *symbolize.Symbolizer
	byName map[string][]*image.Module // by the last name of the path
	narrow bool
}

// Space returns the target that s is; sym names its addresses.
func Space(s *image.Space, sym *symbolize.Symbolizer) Target { return newSpace(s, sym) }

func newSpace(s *image.Space, sym *symbolize.Symbolizer) *space {
	t := &space{space: s, sym: sym, byName: make(map[string][]*image.Module), narrow: s.PtrSize() == 4}
	for _, m := range s.Modules() {
		if m.HasCode() {
			name := path.Base(m.Path)
			t.byName[name] = append(t.byName[name], m)
		}
	}
	return t
}

func (t *space) bits32() bool { return t.narrow }

func (t *space) find(q *query, w *worker, room *room) *stack.Frame {
	holds := q.hasAddr && t.holds(q)
	if holds && q.place == placePerf {
		for _, m := range t.modules(q) {
			if im, err := m.Image(); err == nil {
				if _, ok := q.link(im.Image); ok {
					return nil // it can be either
				}
			}
		}
	}
	if holds {
		var im *image.Image
		var link uint64
		if !q.exact || q.probe {
			if p := t.space.Locate(q.addr); p.Image != nil {
				im, link = p.Image, p.Link(q.addr)
			}
		}
		f := q.choose(w, im, link, func(exact bool) *stack.Frame { return room.inSpace(t.sym, q.addr, exact) })
		if len(f.Names) == 0 && f.Module == nil {
			return nil
		}
		return f
	}
	for _, m := range t.modules(q) {
		im, err := m.Image()
		if err != nil {
			continue
		}
		if link, ok := q.link(im.Image); ok {
			f := q.choose(w, im, link, func(exact bool) *stack.Frame { return room.inImage(t.sym, im, link, exact) })
			f.Module = t.sym.Module(m)
			return f
		}
	}
	return nil
}

// holds reports whether q's address is code of the space, and of the file that
// q says.
func (t *space) holds(q *query) bool {
	addr := q.lookup(q.addr)
	if !t.space.Executable(addr) {
		// The symbolizer knows whether the kernel's symbols can be had.
		return len(q.module) == 0 && kallsyms.IsKernel(addr)
	}
	if len(q.module) == 0 && len(q.id) == 0 {
		return true
	}
	p := t.space.Locate(addr)
	if p.Module == nil || !q.isModule(p.Module) {
		return false
	}
	if q.place == placeFile || q.place == placeMapping {
		if p.Mapping.Start != q.mapStart || p.Mapping.End-p.Mapping.Start != q.mapSize {
			return false
		}
	}
	return len(q.id) == 0 || p.Image != nil && sameID(q.id, p.Image.BuildID())
}

// isModule reports whether the text can mean m.
func (q *query) isModule(m *image.Module) bool {
	if len(q.module) > 0 && m.Gate == maps.VDSO {
		name := string(q.module[bytes.LastIndexByte(q.module, '/')+1:])
		return name == "[vdso]" || name == "linux-vdso.so.1" || name == "linux-gate.so.1"
	}
	return len(q.module) == 0 || q.means(m.Path)
}

// modules returns the modules that the text can mean: the one with its path, or
// the only one with its last name.
func (t *space) modules(q *query) []*image.Module {
	if len(q.module) == 0 {
		return nil
	}
	last := q.module[bytes.LastIndexByte(q.module, '/')+1:]
	all := t.byName[string(last)]
	if len(all) == 0 && q.loose {
		all = t.byName[string(last[bytes.LastIndexAny(last, " \t")+1:])]
	}
	for i, m := range all {
		if string(q.module) == m.Path || q.loose && bytes.HasSuffix(q.module, []byte(" "+m.Path)) {
			return all[i : i+1]
		}
	}
	if len(all) > 1 {
		return nil
	}
	return all
}

// oneImage is an ELF file as a target.
type oneImage struct {
	im   *image.Image
	path string
	sym  *symbolize.Symbolizer
	segs []elfsym.Segment
}

// Image returns the target that the ELF file im at path is; sym was made by
// symbolize.NewForImage.
func Image(im *image.Image, path string, sym *symbolize.Symbolizer) Target {
	return &oneImage{im: im, path: path, sym: sym, segs: im.Segments()}
}

func (t *oneImage) bits32() bool { return t.im.PtrSize() == 4 }

func (t *oneImage) find(q *query, w *worker, room *room) *stack.Frame {
	ours := len(q.module) == 0 || q.means(t.path)
	if !ours {
		return nil
	}
	// A form that names the file tells a run-time address; a number alone is
	// what --exe is given for.
	fixed := t.im.Type == elf.ET_EXEC || len(q.module) == 0 && q.place == placeNone
	link, ok := q.addr, q.hasAddr && fixed && executable(t.segs, q.lookup(q.addr)) &&
		(len(q.id) == 0 || sameID(q.id, t.im.BuildID())) && q.place != placeFile && q.place != placeMapping
	if len(q.module) > 0 && (!ok || q.place == placePerf) {
		at, found := q.link(t.im.Image)
		if ok && found {
			return nil // it can be either
		}
		if found {
			link, ok = at, true
		}
	}
	if !ok {
		return nil
	}
	return q.choose(w, t.im, link, func(exact bool) *stack.Frame { return room.inImage(t.sym, t.im, link, exact) })
}
