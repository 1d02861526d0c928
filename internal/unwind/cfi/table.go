// Package cfi reads call frame information, the .eh_frame and .debug_frame
// sections, in place: it finds the one unwind row that holds for a pc, and
// evaluates the DWARF expressions that a row may contain.
//
// All input may be hostile. Nothing here panics, and work and memory are
// bounded by the bytes that are given.
package cfi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// Section is a section's link-time address and its bytes, which are neither
// copied nor written to and must stay valid as long as the Table and the rows
// that come from it.
type Section struct {
	Addr uint64
	Data []byte
}

// Config is what a Table is made from. Sections that the image does not have
// are left empty.
type Config struct {
	EhFrame    Section // may run on to the end of its segment
	EhFrameHdr Section
	DebugFrame Section // not compressed

	PtrSize int // bytes in an address, 4 or 8; other values are taken as 8
	Order   binary.ByteOrder

	// TextBase and DataBase are what DW_EH_PE_textrel and DW_EH_PE_datarel
	// are relative to. Text-relative pointers are not seen in practice, the
	// data base is the GOT on i386.
	TextBase, DataBase uint64

	// ReadWord reads link-time memory for DW_EH_PE_indirect. Where it is
	// nil, entries that need it are malformed.
	ReadWord func(addr uint64, size int) (uint64, bool)
}

// ErrNoFDE says that no FDE covers a pc.
var ErrNoFDE = errors.New("cfi: no FDE covers the address")

// FormatError is malformed call frame information.
type FormatError struct {
	Section string
	Offset  uint64 // in the section
	Msg     string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("cfi: %s+%#x: %s", e.Section, e.Offset, e.Msg)
}

func (s *section) errorf(off int, msg string) error {
	return &FormatError{s.name, uint64(off), msg}
}

// Table finds rows in the call frame information of one image. It is safe for
// concurrent use.
type Table struct {
	eh, debug lazySection
	hdr       hdr
	hasHdr    bool
}

// lazySection is a section with the index that is built when it is needed.
type lazySection struct {
	section
	once sync.Once
	idx  *index
}

func (s *lazySection) index() *index {
	s.once.Do(func() {
		s.idx = &index{err: s.errorf(0, "the section cannot be read")} // should a fault end the next line
		s.idx = s.buildIndex()
	})
	return s.idx
}

func isBig(order binary.ByteOrder) bool {
	return order != nil && order.Uint16([]byte{1, 0}) != 1
}

// New makes a Table. It reads the fixed part of .eh_frame_hdr and nothing else.
func New(c Config) *Table {
	ptrSize := addrSize(c.PtrSize)
	big := isBig(c.Order)
	b := bases{text: c.TextBase, data: c.DataBase, readWord: c.ReadWord}
	t := new(Table)
	for _, x := range []struct {
		s    *section
		name string
		sec  Section
		eh   bool
	}{
		{&t.eh.section, ".eh_frame", c.EhFrame, true},
		{&t.debug.section, ".debug_frame", c.DebugFrame, false},
	} {
		x.s.name, x.s.data, x.s.eh, x.s.big, x.s.ptrSize, x.s.bases = x.name, x.sec.Data, x.eh, big, ptrSize, b
		x.s.bases.section = x.sec.Addr
	}
	t.hdr, t.hasHdr = parseHdr(c.EhFrameHdr, ptrSize, big, b)
	return t
}

// Prepare does now what the first call of Row would do: an .eh_frame without
// .eh_frame_hdr is walked.
func (t *Table) Prepare() {
	if !t.hasHdr {
		t.eh.index()
	}
}

// Row fills row for a link-time pc; what row held before is lost, but the
// memory of row.Exprs is used again. The error is ErrNoFDE when no FDE covers
// pc, or a *FormatError. The first call for an image without .eh_frame_hdr walks
// the section once, all others take a binary search.
func (t *Table) Row(pc uint64, row *Row) error {
	m := vms.Get().(*vm)
	defer vms.Put(m)
	s, err := t.find(pc, &m.fde)
	if err != nil {
		return err
	}
	return m.row(s, pc, row)
}

// NextFunc returns the lowest link-time address above pc at which an FDE begins.
// It reports false where there is none.
func (t *Table) NextFunc(pc uint64) (start uint64, ok bool) {
	if t.hasHdr {
		if i := t.hdr.search(pc) + 1; i < t.hdr.count {
			start, ok = t.hdr.loc(i), true
		}
	} else if len(t.eh.data) > 0 {
		start, ok = t.eh.nextFunc(pc)
	}
	if len(t.debug.data) > 0 {
		if s, found := t.debug.nextFunc(pc); found && (!ok || s < start) {
			start, ok = s, true
		}
	}
	return start, ok
}

func (s *lazySection) nextFunc(pc uint64) (start uint64, ok bool) {
	x := s.index()
	if i := x.search(pc) + 1; i < len(x.entries) {
		return x.entries[i].start, true
	}
	return 0, false
}

// rows yields all rows of the FDE that covers pc, in order, until yield returns
// false. The row is valid until yield returns. Errors are as for Row.
func (t *Table) rows(pc uint64, yield func(*Row) bool) error {
	m := new(vm) // not a shared one: yield may not return
	s, err := t.find(pc, &m.fde)
	if err != nil {
		return err
	}
	var row Row
	ops := 0
	for at := m.fde.start; at < m.fde.end; at = row.End {
		if err := m.row(s, at, &row); err != nil {
			return err
		}
		// Each row is made from the start: only sane FDEs are worth it.
		if ops += m.ops; ops > 64*maxOps {
			return s.errorf(m.fde.off, "too many rows")
		}
		if !yield(&row) {
			return nil
		}
	}
	return nil
}

// FDE is one frame description entry.
type FDE struct {
	Start, End uint64 // link-time addresses; equal for a function that was discarded
	Section    string
	Offset     uint64 // in the section
}

// FDEs yields every well-formed FDE of .eh_frame and then of .debug_frame, in
// the order of the sections, until yield returns false.
func (t *Table) FDEs(yield func(FDE) bool) {
	more := true
	for _, s := range []*section{&t.eh.section, &t.debug.section} {
		if !more {
			return
		}
		// What ends a walk early has no place in a list of what there is.
		_ = s.walk(func(f *span, err error) bool {
			if err == nil {
				more = yield(FDE{f.start, f.end, s.name, uint64(f.off)})
			}
			return more
		})
	}
}

// find finds the FDE that covers pc and the section it lies in.
func (t *Table) find(pc uint64, f *fde) (*section, error) {
	err := t.findEh(pc, f)
	if err == nil {
		return &t.eh.section, nil
	}
	if len(t.debug.data) == 0 {
		return nil, err
	}
	if derr := t.debug.find(pc, f); derr == nil {
		return &t.debug.section, nil
	} else if err == ErrNoFDE {
		err = derr
	}
	return nil, err
}

// maxOverlap bounds how many FDEs that begin before pc are tried. Ranges should
// not overlap at all, but empty ones share their start with a neighbour, and
// hand-written assembly nests them.
const maxOverlap = 8

func (t *Table) findEh(pc uint64, f *fde) error {
	if len(t.eh.data) == 0 {
		return ErrNoFDE
	}
	if t.hasHdr {
		if err := t.findHdr(pc, f); err == nil || err == ErrNoFDE {
			return err
		}
		// The table does not tell the truth: do without.
	}
	return t.eh.find(pc, f)
}

// findHdr finds an FDE by .eh_frame_hdr. An error other than ErrNoFDE means
// that the table contradicts the section.
func (t *Table) findHdr(pc uint64, f *fde) error {
	last := t.hdr.search(pc)
	for i := last; i >= 0 && i > last-maxOverlap; i-- {
		off := t.hdr.fde(i) - t.eh.bases.section
		if off >= uint64(len(t.eh.data)) {
			return t.eh.errorf(0, ".eh_frame_hdr leads out of the section")
		}
		if err := t.eh.fdeAt(int(off), f); err != nil {
			return err
		}
		if f.start != t.hdr.loc(i) {
			return t.eh.errorf(int(off), ".eh_frame_hdr has another address for this FDE")
		}
		if pc < f.end {
			return nil
		}
	}
	return ErrNoFDE
}

// find finds an FDE by the section's index.
func (s *lazySection) find(pc uint64, f *fde) error {
	x := s.index()
	last := x.search(pc)
	for i := last; i >= 0 && i > last-maxOverlap; i-- {
		if err := s.fdeAt(x.entries[i].off, f); err != nil {
			return err
		}
		if pc < f.end {
			return nil
		}
	}
	if x.err != nil {
		return x.err
	}
	return ErrNoFDE
}
