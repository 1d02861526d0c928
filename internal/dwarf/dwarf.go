package dwarf

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/internal/guard"
)

// Sections are the bytes of the debug sections of one file, decompressed; those
// of a .dwo file lose that suffix. What is not there is nil. They must not
// change while a Data that was made of them is used.
type Sections struct {
	Info, Abbrev, Line, Str, LineStr []byte
	StrOffsets, Addr                 []byte
	Ranges, RngLists, Aranges        []byte
}

// Span is a range of addresses; End is not in it.
type Span struct{ Start, End uint64 }

// Options are what a lookup takes beside the sections.
type Options struct {
	// BigEndian is the file's byte order.
	BigEndian bool
	// Code lists where code can be, sorted. Ranges and sequences of lines
	// that start elsewhere are those of discarded functions. Nil: everywhere.
	Code []Span
	// Alt is the supplementary file (.gnu_debugaltlink, .debug_sup), or nil.
	Alt *Data
	// Split opens the split unit of a skeleton, which says it is in file name
	// of directory dir. It returns nil where there is none. It is called by
	// several goroutines at a time. Nil: there are no split units.
	Split func(id uint64, name, dir string) *Data
	// Bare leaves names without a linkage name as they are, without the scopes
	// around them.
	Bare bool
	// Name, unless nil, makes of a function's name the one that is shown. It is called
	// once for a name as a rule, by several goroutines at a time.
	Name func(string) string
	// Inlined leaves out the names of functions that are not inlined.
	Inlined bool
	// Note, unless nil, is told what is malformed, or beyond what is read: why lines and
	// functions may be missing. It is called a few times at most, by several goroutines at
	// a time.
	Note func(text string)
	// Release, unless nil, is called from time to time, when some megabytes of
	// the sections have been read that will not be needed soon. It may be called
	// while other goroutines read them.
	Release func()
}

// Data is the debug information of one file. Its methods are safe for
// concurrent use.
type Data struct {
	s   Sections
	o   Options
	big bool

	units func() []unit // sorted by offset

	mu      sync.Mutex
	lookups int // addresses looked up by scans
	index   func() *index
	indexed bool
	silent  func() *index // of units whose root entries have no ranges

	notes   atomic.Int32
	many    atomic.Bool // an index is being made: memory counts more than one address's time
	texts   pool
	idle    []*visitor
	splitMu sync.Mutex
	split   map[splitKey]*Data
}

// New returns the debug information in sections. It reads nothing yet.
func New(s Sections, o Options) *Data {
	d := &Data{s: s, o: o, big: o.BigEndian}
	d.texts.name = o.Name
	d.units = sync.OnceValue(d.readUnits)
	d.index = sync.OnceValue(d.buildIndex)
	d.silent = sync.OnceValue(d.silentIndex)
	return d
}

// maxNotes is how many times a Data's Note is called.
const maxNotes = 8

// note tells what is wrong with a unit.
func (d *Data) note(u *unit, what string) {
	if d.o.Note != nil && d.notes.Add(1) <= maxNotes {
		d.o.Note(fmt.Sprintf("debug information of the unit at %#x: %s", u.off, what))
	}
}

// protect runs f, which reads the sections, and reports whether they are still
// there.
func protect(f func()) bool {
	return guard.Read(func() error { f(); return nil }) == nil
}

// isCode reports whether code can start at addr.
func (d *Data) isCode(addr uint64) bool {
	if d.o.Code == nil {
		return true
	}
	code := d.o.Code
	if len(code) > 0 && addr-code[0].Start < code[0].End-code[0].Start {
		return true
	}
	i := sort.Search(len(code), func(i int) bool { return code[i].Start > addr }) - 1
	return i >= 0 && addr < code[i].End
}

// unit is the header of a unit in .debug_info (7.5.1).
type unit struct {
	off, end  int // in the section; off is that of the header
	root      int // of the root entry
	abbrevOff uint64
	id        uint64 // of a skeleton or split unit of version 5
	sizes     sizes
	typ       uint8
}

// maxUnits bounds the number of units of a file.
const maxUnits = 4 << 20

// readUnits reads the headers of all units. It does not read anything else.
func (d *Data) readUnits() (units []unit) {
	protect(func() {
		b := d.s.Info
		for pos := 0; pos < len(b) && len(units) < maxUnits; {
			u, ok := readHeader(b, pos, d.big)
			if u.end > len(b) || u.end <= pos {
				break
			}
			if ok {
				units = append(units, u)
				if d.many.Load() && len(units)%(releaseBlocks*indexBlock) == 0 && d.o.Release != nil {
					d.o.Release()
				}
			}
			pos = u.end
		}
	})
	return slices.Clip(units)
}

// readHeader reads the header of a unit. It reports false for a unit that holds
// no code, or is of an unknown version; its end is right all the same.
func readHeader(b []byte, pos int, big bool) (u unit, ok bool) {
	u.off = pos
	end, pos, off := initialLength(b, pos, big)
	u.end = end
	if end > len(b) {
		return u, false
	}
	b = b[:end]
	version, pos := fixed(b, pos, 2, big)
	if version < 2 || version > 5 {
		return u, false
	}
	u.sizes = sizes{version: uint8(version), off: uint8(off), big: big}
	u.typ = unitCompile
	var addr, typ uint64
	if version >= 5 {
		typ, pos = fixed(b, pos, 1, big)
		addr, pos = fixed(b, pos, 1, big)
		u.abbrevOff, pos = fixed(b, pos, off, big)
		u.typ = uint8(typ)
	} else {
		u.abbrevOff, pos = fixed(b, pos, off, big)
		addr, pos = fixed(b, pos, 1, big)
	}
	switch u.typ {
	case unitType, unitSplitType:
		return u, false
	case unitSkeleton, unitSplitCompile:
		u.id, pos = fixed(b, pos, 8, big)
	}
	if pos > len(b) || addr != 1 && addr != 2 && addr != 4 && addr != 8 {
		return u, false
	}
	u.sizes.addr = uint8(addr)
	u.root = pos
	return u, true
}

// unitAt returns the unit that holds an offset in .debug_info.
func (d *Data) unitAt(off uint64) *unit {
	units := d.units()
	i := sort.Search(len(units), func(i int) bool { return uint64(units[i].off) > off }) - 1
	if i < 0 || off < uint64(units[i].root) || off >= uint64(units[i].end) {
		return nil
	}
	return &units[i]
}
