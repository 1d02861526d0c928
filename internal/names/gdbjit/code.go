package gdbjit

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Code is what the images of a process tell of its code. It holds copies, nothing
// of the target's memory. It is safe for concurrent use.
type Code struct {
	symbols []named  // by start, not overlapping
	frames  []frames // in the order of the list
	areas   []area   // executable sections, by start
}

// named is a function.
type named struct {
	start, end uint64
	name       string
}

// frames is the call frame information of one image.
type frames struct{ eh, debug *cfi.Table }

// area is an executable section, and the image that it is from.
type area struct {
	start, end uint64
	frames     int
}

// Load reads the images of a list. The error tells of all that could not be used;
// what could is in code, which is never nil.
func (m *Memory) Load(list []Entry) (code *Code, err error) {
	code = new(Code)
	var errs []error
	total := uint64(0)
	for _, e := range list {
		if e.Size == 0 || e.Size > maxImage || total+e.Size > maxBytes {
			errs = append(errs, fmt.Errorf("the JIT-compiled image at %#x has %d bytes", e.Addr, e.Size))
			continue
		}
		data := make([]byte, e.Size)
		total += e.Size
		if m.Read(e.Addr, data) < len(data) {
			errs = append(errs, fmt.Errorf("the JIT-compiled image at %#x cannot be read", e.Addr))
			continue
		}
		if err := code.add(data); err != nil {
			errs = append(errs, fmt.Errorf("the JIT-compiled image at %#x: %w", e.Addr, err))
		}
	}
	code.sort()
	if len(errs) > 8 {
		errs = append(errs[:8], fmt.Errorf("and %d more", len(errs)-8))
	}
	return code, errors.Join(errs...)
}

// add takes in an image.
func (c *Code) add(data []byte) error {
	im, err := parse(data)
	if err != nil {
		return err
	}
	found := false
	for i := range im.secs {
		if im.code(uint16(i)) {
			s := &im.secs[i]
			c.areas = append(c.areas, area{s.addr, s.addr + s.size, len(c.frames)})
			found = true
		}
	}
	if !found {
		return errors.New("no code that has an address")
	}
	c.frames = append(c.frames, im.tables())
	c.addSymbols(im)
	return nil
}

// tables makes the image's tables of call frame information.
func (im *image) tables() frames {
	conf := cfi.Config{PtrSize: 4, Order: im.order}
	if im.is64 {
		conf.PtrSize = 8
	}
	eh, debug := conf, conf
	eh.EhFrame.Addr, eh.EhFrame.Data = im.frames(".eh_frame")
	debug.DebugFrame.Addr, debug.DebugFrame.Data = im.frames(".debug_frame")
	return frames{cfi.New(eh), cfi.New(debug)}
}

// addSymbols takes in an image's functions.
func (c *Code) addSymbols(im *image) {
	syms, strs := im.symbols()
	size := im.symbolSize()
	var list []named
	budget := 4 * len(im.data) // symbols may share a string
	for ; len(syms) >= size && budget > 0; syms = syms[size:] {
		s := im.symbol(syms)
		typ := elf.ST_TYPE(s.info)
		if !im.code(s.shndx) || typ != elf.STT_FUNC && typ != elf.STT_NOTYPE || uint64(s.name) >= uint64(len(strs)) {
			continue
		}
		sec := &im.secs[s.shndx]
		if s.value-sec.addr >= sec.size {
			continue
		}
		name := strs[s.name:]
		name = name[:min(len(name), maxName)]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if len(name) == 0 || typ == elf.STT_NOTYPE && bytes.HasPrefix(name, []byte(".L")) {
			continue
		}
		end := sec.addr + sec.size
		if s.size > 0 {
			end = s.value + min(s.size, end-s.value)
		}
		list = append(list, named{s.value, end, string(name)})
		budget -= len(name)
	}
	// One without a size reaches to the next.
	slices.SortStableFunc(list, func(a, b named) int { return cmp.Compare(a.start, b.start) })
	for i := range list {
		if i > 0 && list[i-1].start < list[i].start {
			list[i-1].end = min(list[i-1].end, list[i].start)
		}
	}
	c.symbols = append(c.symbols, list...)
}

// sort orders what lookups search. Of code that was registered twice, the first
// in the list is the newest: compilers put new entries there.
func (c *Code) sort() {
	slices.SortStableFunc(c.symbols, func(a, b named) int { return cmp.Compare(a.start, b.start) })
	c.symbols = slices.CompactFunc(c.symbols, func(a, b named) bool { return a.start == b.start })
	for i := range c.symbols[:max(len(c.symbols)-1, 0)] {
		c.symbols[i].end = min(c.symbols[i].end, c.symbols[i+1].start)
	}
	slices.SortStableFunc(c.areas, func(a, b area) int { return cmp.Compare(a.start, b.start) })
}

// Name finds the function that holds addr, and where it begins.
func (c *Code) Name(addr uint64) (name string, start uint64, ok bool) {
	i := sort.Search(len(c.symbols), func(i int) bool { return c.symbols[i].start > addr }) - 1
	if i < 0 || addr >= c.symbols[i].end {
		return "", 0, false
	}
	return c.symbols[i].name, c.symbols[i].start, true
}

// maxAreas bounds how many sections that begin before an address are tried.
const maxAreas = 8

// Row fills row for a pc and reports whether there is one. The row's expressions
// are parts of c.
func (c *Code) Row(pc uint64, row *cfi.Row) bool {
	last := sort.Search(len(c.areas), func(i int) bool { return c.areas[i].start > pc }) - 1
	for i := last; i >= 0 && i > last-maxAreas; i-- {
		if a := &c.areas[i]; pc < a.end {
			f := &c.frames[a.frames]
			if f.eh.Row(pc, row) == nil || f.debug.Row(pc, row) == nil {
				return true
			}
		}
	}
	return false
}

// Empty reports whether nothing is known.
func (c *Code) Empty() bool { return len(c.areas) == 0 }
