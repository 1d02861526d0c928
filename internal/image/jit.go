package image

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gatedso/bt/internal/names/gdbjit"
	"github.com/gatedso/bt/internal/unwind/cfi"
	"github.com/gatedso/bt/maps"
)

// jitCode is what the programs in a space tell debuggers of the code that they
// have compiled.
type jitCode struct {
	mu          sync.Mutex
	found       bool
	descriptors []uint64 // where the lists begin
	mem         gdbjit.Memory
	list        []gdbjit.Entry // that code was loaded from
	code        *gdbjit.Code   // nil until it was asked for
	loaded      time.Time
	listErr     error // of the lists, when they were read last
	loadErr     error // of the images in list
}

// listAge is how old a list may become before a miss has it read again.
const listAge = 20 * time.Millisecond

// maxDescriptors bounds the modules that have a list of their own.
const maxDescriptors = 8

// jitKnown returns the code that is known; with parsed set, the memory is not read. It
// is not nil. renew has the lists read again unless that was just done.
func (s *Space) jitKnown(parsed, renew bool) *gdbjit.Code {
	j := &s.jit
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case parsed && j.code == nil:
		return new(gdbjit.Code)
	case j.code != nil && (parsed || !renew || len(j.descriptors) == 0 || time.Since(j.loaded) < listAge):
		return j.code
	}
	if !j.found {
		j.found = true
		s.findDescriptors()
	}
	var list []gdbjit.Entry
	j.listErr = nil
	for _, addr := range j.descriptors {
		more, err := j.mem.List(addr)
		list = append(list, more...)
		j.listErr = errors.Join(j.listErr, err)
	}
	if j.code == nil || !slices.Equal(list, j.list) {
		j.code, j.loadErr = j.mem.Load(list)
		j.list = list
	}
	j.loaded = time.Now()
	return j.code
}

// findDescriptors looks for the descriptor in the modules' dynamic symbols, and
// where none has it, in their full symbol tables.
func (s *Space) findDescriptors() {
	j := &s.jit
	for _, full := range []bool{false, true} {
		for _, m := range s.modules {
			if m.Gate != maps.NoGate || !m.HasCode() || len(j.descriptors) == maxDescriptors {
				continue
			}
			addr, ok := s.Variable(m, gdbjit.Descriptor, full)
			if !ok {
				continue
			}
			im, _ := m.Image()
			j.descriptors = append(j.descriptors, addr)
			j.mem.PtrSize, j.mem.Order = im.PtrSize(), im.Order
		}
		if len(j.descriptors) > 0 {
			break
		}
	}
	j.mem.Read = func(addr uint64, b []byte) int {
		n, _ := s.src.ReadMemory(addr, b)
		return n
	}
}

// compiled reports whether addr lies in executable memory that no image describes.
func (s *Space) compiled(addr uint64) bool {
	r := s.find(addr)
	return r != nil && r.exec && (r.module == nil || r.module.Gate == maps.NoGate)
}

// JITName names an address in code that the program has compiled, if it tells
// debuggers of it by GDB's JIT interface, and returns where the function begins.
func (s *Space) JITName(addr uint64) (name string, start uint64, ok bool) {
	if !s.compiled(addr) {
		return "", 0, false
	}
	if name, start, ok = s.jitKnown(false, false).Name(addr); !ok {
		name, start, ok = s.jitKnown(false, true).Name(addr)
	}
	return name, start, ok
}

// JITProblem says what of that could not be read; nil if nothing was missing.
func (s *Space) JITProblem() error {
	s.jit.mu.Lock()
	defer s.jit.mu.Unlock()
	return errors.Join(s.jit.listErr, s.jit.loadErr)
}

// jitRow is the row that the program tells for a pc in such code, nil for none.
func (s *Space) jitRow(pc uint64, parsed bool) *cfi.Row {
	if !s.compiled(pc) {
		return nil
	}
	row := new(cfi.Row)
	if s.jitKnown(parsed, false).Row(pc, row) || s.jitKnown(parsed, true).Row(pc, row) {
		return row
	}
	return nil
}

// jitStart is where the function begins that the program tells of.
func (s *Space) jitStart(pc uint64, parsed bool) (uint64, bool) {
	if !s.compiled(pc) {
		return 0, false
	}
	_, start, ok := s.jitKnown(parsed, false).Name(pc)
	return start, ok
}
