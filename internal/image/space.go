package image

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
	"github.com/gatedso/bt/maps"
)

// Source is where the files and the memory of an address space come from. It is
// safe for concurrent use.
type Source interface {
	// OpenMapping opens the file behind m. via says how it was found; same
	// that it is certain to be the mapped file. The caller closes f.
	OpenMapping(m *maps.Mapping) (f *os.File, via string, same bool, err error)
	// ReadMemory reads memory at addr and returns how much it read.
	ReadMemory(addr uint64, b []byte) (int, error)
	// BuildID is the build ID that the mapped image of m is known to have,
	// nil when the source does not know; the memory is asked then.
	BuildID(m *maps.Mapping) []byte
}

// Module is one file, or one image of the kernel's, that an address space maps.
// Its image is opened on first use.
type Module struct {
	Path string    // as the maps have it
	Gate maps.Gate // what part of the gate DSO it is, if any

	space *Space
	first *maps.Mapping // the mapping that opens the file: the first executable one, or the first
	head  *maps.Mapping // the mapping of the file's first byte, nil if there is none

	index   int   // in the space's modules
	regions []int // indices of its regions in space, ascending

	hasMoved bool // memory that is not mapped from it may hold its code

	file     *os.File // opened, and not read yet
	fileVia  string
	fileSame bool
	fileErr  error

	once   sync.Once
	loaded atomic.Bool // once is done
	image  *Image
	via    string
	err    error

	fallback error // why image was read from memory
}

// region is one mapping as lookups need it.
type region struct {
	start, end uint64
	exec       bool
	mapping    *maps.Mapping
	module     *Module // nil for anonymous memory
	moved      *moved  // nil unless it may hold the code of a module around it

	biasOnce sync.Once
	bias     uint64
	biasOK   bool
}

// Space is the modules of one address space. It implements unwind.Code. It is
// safe for concurrent use.
type Space struct {
	Maps *maps.Map

	src     Source
	cache   *Cache
	regions []region // sorted by start
	byEntry []int32  // by index in Maps.Entries: the index in regions, or -1
	modules []*Module

	mu   sync.Mutex
	used []*cached // images of cache

	jit jitCode
}

// NewSpace returns the space that m describes. cache may be shared with other
// spaces.
func NewSpace(m *maps.Map, src Source, cache *Cache) *Space {
	s := &Space{Maps: m, src: src, cache: cache}
	type key struct {
		dev, ino uint64
		path     string
	}
	byFile := make(map[key]*Module)
	s.byEntry = make([]int32, len(m.Entries))
	order := make([]int, len(m.Entries))
	for i := range order {
		order[i], s.byEntry[i] = i, -1
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m.Entries[a].Start, m.Entries[b].Start) })
	s.regions = make([]region, 0, len(order))
	for _, i := range order {
		e := &m.Entries[i]
		if e.End <= e.Start {
			continue
		}
		gate := m.GateOf(e)
		exec := e.Perm&maps.Exec != 0 || gate != maps.NoGate
		if !exec && !e.IsFile() {
			continue
		}
		var mod *Module
		if gate != maps.NoGate || e.IsFile() {
			k := key{e.Dev, e.Inode, e.Path}
			mod = byFile[k]
			if mod == nil {
				mod = &Module{Path: e.Path, Gate: gate, space: s, first: e, index: len(s.modules)}
				byFile[k] = mod
				s.modules = append(s.modules, mod)
			}
			if exec && mod.first.Perm&maps.Exec == 0 {
				mod.first = e
			}
			if e.Offset == 0 && mod.head == nil {
				mod.head = e
			}
		}
		if mod != nil {
			mod.regions = append(mod.regions, len(s.regions))
		}
		s.byEntry[i] = int32(len(s.regions))
		s.regions = append(s.regions, region{start: e.Start, end: e.End, exec: exec, mapping: e, module: mod})
	}
	for i := range s.regions {
		if r := &s.regions[i]; r.exec && (r.module == nil || r.module.holdsMemory()) {
			r.moved = s.findMoved(i)
		}
	}
	return s
}

// find returns the region that holds addr, nil if there is none. The maps decide
// where entries overlap.
func (s *Space) find(addr uint64) *region {
	i := s.Maps.FindIndex(addr)
	if i < 0 || s.byEntry[i] < 0 {
		return nil
	}
	return &s.regions[s.byEntry[i]]
}

// Place is where an address lies.
type Place struct {
	Mapping *maps.Mapping // nil: not mapped executable, nor from a file
	Module  *Module       // nil: anonymous memory
	Image   *Image        // nil: the module could not be opened, see Err
	Bias    uint64        // run-time address - Bias = link-time address; valid with Image
	Err     error
}

// Locate tells where addr lies, and opens its module's image.
func (s *Space) Locate(addr uint64) Place { return s.locate(addr, false) }

// locate is Locate; with parsed set it opens no image.
func (s *Space) locate(addr uint64, parsed bool) Place {
	r := s.find(addr)
	if r == nil {
		return Place{}
	}
	if p, ok := s.movedPlace(r, addr, parsed); ok {
		return p
	}
	p := Place{Mapping: r.mapping, Module: r.module}
	if r.module == nil {
		return p
	}
	if parsed && !r.module.loaded.Load() {
		p.Err = errNotParsed
		return p
	}
	p.Image, p.Err = r.module.Image()
	if p.Image == nil {
		return p
	}
	var ok bool
	if p.Bias, ok = r.loadBias(p.Image); !ok {
		p.Err = fmt.Errorf("%s: no segment of the file is mapped at %x", r.module.Path, r.start)
		p.Image = nil
	}
	return p
}

func (r *region) loadBias(im *Image) (uint64, bool) {
	r.biasOnce.Do(func() {
		switch {
		case r.module.Gate == maps.NoGate:
			r.bias, r.biasOK = im.Bias(r.start, r.end, r.mapping.Offset, r.exec)
		default:
			r.bias, r.biasOK = im.GateBias(r.start, r.end), true
		}
	})
	return r.bias, r.biasOK
}

// Modules lists the modules in the order of the maps.
func (s *Space) Modules() []*Module { return s.modules }

// Index is the module's place in Modules of its space.
func (m *Module) Index() int { return m.index }

// Image opens the module's image: the mapped file, or what the memory holds of
// it where the file cannot be had. The error says why there is none.
func (m *Module) Image() (*Image, error) {
	m.once.Do(func() {
		m.image, m.via, m.err = m.load()
		m.loaded.Store(true)
	})
	return m.image, m.err
}

// Via says where the image came from, once Image was called.
func (m *Module) Via() string { return m.via }

// FileError says why the image was read from memory and not from the module's file,
// once Image was called; nil if it was not, or there is no file.
func (m *Module) FileError() error {
	return m.fallback
}

func (m *Module) load() (*Image, string, error) {
	switch m.Gate {
	case maps.VDSO:
		im, err := m.fromMemory()
		return im, "memory", err
	case maps.Vsyscall:
		return nil, "", errors.New("[vsyscall] is not an ELF image")
	case maps.Line:
		// Roland McGrath's and David Mosberger's patch made the gate
		// line unreadable on purpose: the file that the path names
		// stands for it.
		im, err := m.fromMemory()
		return im, "memory", err
	}
	if m.file == nil && m.fileErr == nil {
		m.file, m.fileVia, m.fileSame, m.fileErr = m.space.src.OpenMapping(m.first)
	}
	err := m.fileErr
	if err == nil {
		var im *Image
		im, err = m.space.open(m.file, m.Path)
		m.file = nil
		if err == nil {
			if err = m.verify(im); err == nil {
				return im, m.fileVia, nil
			}
		}
	}
	if im, merr := m.fromMemory(); merr == nil {
		m.fallback = err
		return im, "memory", nil
	}
	return nil, "", err
}

// verify makes sure that a file which is not certain to be the mapped one is
// the same build.
func (m *Module) verify(im *Image) error {
	want := m.space.src.BuildID(m.first)
	if want == nil {
		if m.fileSame {
			return nil
		}
		want = m.memoryBuildID()
	}
	if want == nil {
		return fmt.Errorf("%s: another file stands under this name now, and the mapped one has no build ID to compare", m.Path)
	}
	if got := im.BuildID(); !bytes.Equal(got, want) {
		return fmt.Errorf("%s: another file stands under this name now (build ID %x, mapped %x)", m.Path, got, want)
	}
	return nil
}

// Row implements unwind.Code.
func (s *Space) Row(pc uint64, exact bool) (*cfi.Row, unwind.How) { return s.row(pc, exact, false) }

func (s *Space) row(pc uint64, exact, parsed bool) (*cfi.Row, unwind.How) {
	p := s.locate(pc, parsed)
	if p.Image == nil {
		if row := s.jitRow(pc, parsed); row != nil {
			return row, unwind.HowCFI
		}
		return nil, 0
	}
	row, how, err := p.Image.find(p.Link(pc), exact, parsed)
	if err != nil {
		return nil, 0
	}
	if row != nil && !row.Signal && p.Module.Gate != maps.NoGate && p.isTrampoline(pc) {
		// A gate built before assemblers knew the 'S' augmentation describes
		// the signal frame, but not that it is one.
		marked := *row
		marked.Signal = true
		row = &marked
	}
	return row, how
}

// isTrampoline reports whether pc is in the gate's code that a signal handler
// returns to, by the symbol that covers it.
func (p *Place) isTrampoline(pc uint64) bool {
	sym, ok := p.Image.Lookup(p.Link(pc))
	return ok && arch.GateOf(p.Image.Machine, p.Image.Class).IsTrampoline(sym.Name)
}

// Link turns a run-time address into a link-time one, as addr2line takes it.
func (p *Place) Link(addr uint64) uint64 {
	addr -= p.Bias
	if p.Image.PtrSize() == 4 {
		addr &= 1<<32 - 1
	}
	return addr
}

// Executable implements unwind.Code.
func (s *Space) Executable(pc uint64) bool {
	r := s.find(pc)
	return r != nil && r.exec
}

// Text implements unwind.Code. Code that a file holds is read from it. (What an
// image read from memory lacks is zero in it, which is an instruction, too.)
func (s *Space) Text(addr uint64, b []byte) int { return s.textAt(addr, b, false) }

func (s *Space) textAt(addr uint64, b []byte, parsed bool) int {
	p := s.locate(addr, parsed)
	if p.Image != nil && p.Mapping.Perm&maps.Write == 0 && !p.Image.holes {
		n := 0
		guard.Read(func() error {
			n = copy(b, p.Image.Bytes(p.Link(addr), len(b)))
			return nil
		})
		if n > 0 {
			return n
		}
	}
	if p.Mapping == nil {
		return 0
	}
	n, _ := s.src.ReadMemory(addr, b)
	return n
}

// FuncStart implements unwind.Code. It is where the function is entered: the
// cold part that gcc splits off a function is jumped to, with the frame as the
// rest of the function has made it.
func (s *Space) FuncStart(pc uint64) (uint64, bool) { return s.funcStart(pc, false) }

func (s *Space) funcStart(pc uint64, parsed bool) (uint64, bool) {
	p := s.locate(pc, parsed)
	if p.Image == nil {
		return s.jitStart(pc, parsed)
	}
	link := p.Link(pc)
	start, ok := p.Image.entryOf(link, parsed)
	return pc - (link - start), ok
}

// entryOf returns where the function that holds pc is entered, as call frame
// information or a symbol tells it.
func (im *Image) entryOf(pc uint64, parsed bool) (uint64, bool) {
	if row, how, err := im.find(pc, true, parsed); err == nil && how == unwind.HowCFI && row.Func <= pc {
		// At an entry nothing but the return address is on the stack.
		first, _, err := im.find(row.Func, true, parsed)
		a := im.Arch()
		entered := err == nil && a != nil && first.CFA.Kind == cfi.Register &&
			arch.Reg(first.CFA.Reg) == a.SP && first.CFA.N == a.Entry.Offset
		return row.Func, entered
	}
	if t := im.goTab(); t != nil {
		if f, ok := t.Func(pc); ok {
			return f.Entry, true
		}
	}
	start, ok := im.FuncStart(pc)
	if sym, named := im.Lookup(start); named && strings.Contains(sym.Name, ".cold") {
		return 0, false
	}
	return start, ok
}

var _ unwind.Code = (*Space)(nil)

// SetImage makes im the module's image: for a gate whose memory cannot be read.
func (m *Module) SetImage(im *Image, via string) {
	m.once.Do(func() {
		m.image, m.via = im, via
		m.loaded.Store(true)
	})
}

// HasCode reports whether any of the module is mapped executable, or may have been
// moved to executable memory, or is a gate.
func (m *Module) HasCode() bool {
	return m.Gate != maps.NoGate || m.first.Perm&maps.Exec != 0 || m.hasMoved
}

// PtrSize is the size in bytes of an address as it is printed: 4 for a 32-bit
// process. The program decides it; without any image, the highest address.
func (s *Space) PtrSize() int {
	for _, m := range s.modules {
		if m.Gate != maps.NoGate || !m.HasCode() {
			continue
		}
		if im, err := m.Image(); err == nil {
			return im.PtrSize()
		}
	}
	for i := range s.Maps.Entries {
		if s.Maps.Entries[i].End > 1<<32 {
			return 8
		}
	}
	return 4
}

// Resolve turns an offset in a module, which is a link-time address, into a
// run-time address. name is the module's path or its base name.
func (s *Space) Resolve(name string, off uint64) (addr uint64, ok bool) {
	for _, m := range s.modules {
		if m.Path != name && path.Base(m.Path) != name {
			continue
		}
		for i := range s.regions {
			r := &s.regions[i]
			if r.module != m {
				if a, ok := s.resolveMoved(r, m, off); ok {
					return a, true
				}
				continue
			}
			p := s.Locate(r.start)
			if p.Image == nil {
				// By file offset, as such an address is printed.
				if end := r.mapping.Offset + (r.end - r.start); off >= r.mapping.Offset && off < end {
					return r.start + off - r.mapping.Offset, true
				}
				continue
			}
			a := off + p.Bias
			if p.Image.PtrSize() == 4 {
				a &= 1<<32 - 1
			}
			if a >= r.start && a < r.end {
				return a, true
			}
		}
	}
	return 0, false
}

// Range is where the module's first mapping lies.
func (m *Module) Range() (start, end uint64) { return m.first.Start, m.first.End }
