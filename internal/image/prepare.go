package image

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
	"github.com/gatedso/bt/maps"
)

// Prepare opens the file of every module with code and parses what the unwinder
// needs of it, on all CPUs: Parsed can use it then, and what is replaced or ended
// later stays reachable. An image that can only be read from memory, other than
// the vDSO, is left until something asks for it.
func (s *Space) Prepare() {
	var todo []*Module
	for _, m := range s.modules {
		if m.Gate == maps.NoGate && m.HasCode() || m.Gate == maps.VDSO {
			todo = append(todo, m)
		}
	}
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
			todo[i].prepare()
		}
	}
	var wg sync.WaitGroup
	const share = 8 // modules that are worth a goroutine
	for range min(runtime.GOMAXPROCS(0), len(todo)/share) - 1 {
		guard.Go(&wg, work)
	}
	work()
	wg.Wait()
}

func (m *Module) prepare() {
	if !m.loaded.Load() {
		m.openFile()
		if m.fileErr != nil {
			return
		}
	}
	if im, err := m.Image(); err == nil {
		im.prepare()
	}
}

// openFile opens the file of a module that has one, unless that was tried before.
func (m *Module) openFile() {
	if m.Gate == maps.NoGate && m.file == nil && m.fileErr == nil {
		m.file, m.fileVia, m.fileSame, m.fileErr = m.space.src.OpenMapping(m.first)
	}
}

// open opens an image that the space uses until it is closed.
func (s *Space) open(f *os.File, name string) (*Image, error) {
	e, err := s.cache.open(f, name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = append(s.used, e)
	return e.image, nil
}

// Close ends the use of the space and of the images that it has from its Cache,
// which may close them.
func (s *Space) Close() {
	for _, m := range s.modules {
		m.once.Do(func() {
			if m.file != nil {
				m.file.Close()
				m.file = nil
			}
			m.err = errors.New("closed")
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.used {
		s.cache.release(e)
	}
	s.used = nil
}

// Parsed is the space's code as far as Prepare, or a use of the space itself, has
// read it. It is for the time in which the process stands still: it opens no
// file and parses nothing.
func (s *Space) Parsed() unwind.Code { return parsedCode{s} }

type parsedCode struct{ *Space }

// Row implements unwind.Code.
func (c parsedCode) Row(pc uint64, exact bool) (*cfi.Row, unwind.How) { return c.row(pc, exact, true) }

// Text implements unwind.Code.
func (c parsedCode) Text(addr uint64, b []byte) int { return c.textAt(addr, b, true) }

// FuncStart implements unwind.Code.
func (c parsedCode) FuncStart(pc uint64) (uint64, bool) { return c.funcStart(pc, true) }
