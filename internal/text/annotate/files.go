package annotate

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// maxOpen is the number of files that a text without maps has open at a time,
// maxPaths how many paths are remembered to be none, maxSpaceFiles the number of
// files of one maps file in a text.
const (
	maxOpen       = 64
	maxPaths      = 1024
	maxSpaceFiles = 1024
)

// files names addresses by the files whose paths the text gives.
type files struct {
	sysroot string
	names   func() symbolize.Options

	mu    sync.RWMutex // held for writing to change what is open
	paths map[string]*image.Image
	open  int
	sym   *symbolize.Symbolizer
	debug *debugfile.Finder
}

func (t *files) bits32() bool { return false }

func (t *files) find(q *query, w *worker, room *room) *stack.Frame {
	path := q.path()
	if len(path) == 0 {
		return nil
	}
	if !q.exact && w != nil {
		w.afterSignal() // which comes back to here: not with the lock held
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	im, known := t.paths[string(path)]
	for !known {
		t.mu.RUnlock()
		t.load(string(path))
		t.mu.RLock()
		im, known = t.paths[string(path)]
	}
	if im == nil {
		return nil
	}
	link, ok := q.link(im.Image)
	if !ok {
		return nil
	}
	return q.choose(w, im, link, func(exact bool) *stack.Frame { return room.inImage(t.sym, im, link, exact) })
}

// path returns the absolute path that the text gives, nil if it gives none.
func (q *query) path() []byte {
	if len(q.module) > 1 && q.module[0] == '/' {
		return q.module
	}
	if i := bytes.LastIndex(q.module, []byte(" /")); q.loose && i >= 0 {
		return q.module[i+1:]
	}
	return nil
}

// load opens the file at path.
func (t *files) load(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.paths[path]; known {
		return
	}
	if t.open >= maxOpen || len(t.paths) >= maxPaths {
		t.closeAll()
	}
	if t.paths == nil {
		o := t.names()
		t.paths = make(map[string]*image.Image)
		t.debug, t.sym = o.Debug, symbolize.NewForImage(o)
	}
	t.paths[path] = nil
	f, err := procfs.In(t.sysroot, path)
	if err != nil {
		return
	}
	defer f.Close()
	im, err := elfsym.Open(f, path)
	if err != nil {
		return
	}
	t.paths[path] = image.NewImage(im)
	t.open++
}

func (t *files) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeAll()
}

func (t *files) closeAll() {
	for _, im := range t.paths {
		if im != nil {
			im.Close()
		}
	}
	if t.debug != nil {
		t.debug.Close()
	}
	t.paths, t.open, t.sym, t.debug = nil, 0, nil, nil
}

// textSpace is the address space that maps lines in the text describe. It is
// parsed when an address first asks for it, and closed when the last piece of
// text that needs it is done.
type textSpace struct {
	refs atomic.Int64
	o    *Options

	once  sync.Once
	text  []byte
	space *space // nil: the lines are no maps after all
	debug *debugfile.Finder
}

// newTextSpace returns the space that the maps lines text describe, which it
// owns, with one reference to it.
func newTextSpace(text []byte, o *Options) *textSpace {
	t := &textSpace{text: text, o: o}
	t.refs.Store(1)
	return t
}

// hold adds a reference.
func (t *textSpace) hold() *textSpace {
	if t != nil {
		t.refs.Add(1)
	}
	return t
}

// release takes a reference away.
func (t *textSpace) release() {
	if t == nil || t.refs.Add(-1) > 0 || t.space == nil {
		return
	}
	s := t.space.space
	s.Close()
	closed := make(map[*image.Image]bool)
	for _, m := range s.Modules() {
		if im, err := m.Image(); err == nil && !closed[im] {
			closed[im] = true
			im.Close()
		}
	}
	if t.debug != nil {
		t.debug.Close()
	}
}

func (t *textSpace) load() *space {
	t.once.Do(func() {
		m, err := maps.Parse(t.text)
		t.text = nil
		if err != nil {
			return
		}
		s := image.NewSpace(m, &fewFiles{Files: image.Files{Maps: m, Sysroot: t.o.Sysroot}}, new(image.Cache))
		o := t.o.Names()
		t.debug = o.Debug
		// The error is about the gate DSO, which has no name then.
		sym, _ := symbolize.New(s, o)
		t.space = newSpace(s, sym)
	})
	return t.space
}

func (t *textSpace) bits32() bool {
	s := t.load()
	return s != nil && s.bits32()
}

func (t *textSpace) find(q *query, w *worker, room *room) *stack.Frame {
	s := t.load()
	if s == nil {
		return nil
	}
	return s.find(q, w, room)
}

// fewFiles opens a limited number of files.
type fewFiles struct {
	image.Files
	opened atomic.Int64
}

var errTooMany = errors.New("too many files")

// OpenMapping implements image.Source.
func (f *fewFiles) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	if f.opened.Add(1) > maxSpaceFiles {
		return nil, "", false, errTooMany
	}
	return f.Files.OpenMapping(m)
}
