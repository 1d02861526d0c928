package dwarf

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// Tags and attributes that these tests write.
const (
	tagCompileUnit = 0x11
	atName         = 0x03
	atLow          = 0x11
	atHigh         = 0x12
	atOrigin       = 0x31
	atSpec         = 0x47
	atRanges       = 0x55
)

// declare writes an abbreviation.
func (a *asm) declare(code, tag uint64, kids byte, attrs ...[2]uint64) {
	a.uleb(code)
	a.uleb(tag)
	a.u8(kids)
	for _, at := range attrs {
		a.uleb(at[0])
		a.uleb(at[1])
	}
	a.u8(0, 0)
}

// version4 is a unit of version 4, whose entries follow its header of headerSize bytes.
func version4(entries []byte) []byte {
	var info asm
	info.u16(4)
	info.u32(0)
	info.u8(8)
	info.u8(entries...)
	return sized(info.b)
}

const headerSize = 11

// visitOnce visits the only unit of a file, and returns its visitor and what is said of
// one address.
func visitOnce(t *testing.T, s Sections, addr uint64) (v *visitor, notes []string, frames []Frame) {
	t.Helper()
	d := New(s, Options{Note: func(text string) { notes = append(notes, text) }})
	units := d.units()
	if len(units) != 1 {
		t.Fatalf("%d units", len(units))
	}
	v = newVisitor(d)
	v.q = []uint64{addr}
	b, spots := v.visit(&units[0])
	if len(spots) == 1 && spots[0].node >= 0 {
		a := Answers{blocks: []block{b}, spots: slices.Clone(spots)}
		a.spots[0].block = 0
		frames = a.Frames(nil, 0)
	}
	return v, notes, frames
}

func wantNote(t *testing.T, notes []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(notes, func(s string) bool { return strings.Contains(s, want) }) {
		t.Errorf("no note of %q: %q", want, notes)
	}
}

// Range lists that hold nothing, which each of many functions refers to: what is read of
// them counts as work, and that is bounded.
func TestRangesWithoutEnd(t *testing.T) {
	const functions, pairs = 20_000, 1 << 16
	var abbrev, entries asm
	abbrev.declare(1, tagCompileUnit, 1)
	abbrev.declare(2, tagSubprogram, 0, [2]uint64{atRanges, formSecOffset})
	abbrev.u8(0)
	entries.u8(1)
	for range functions {
		entries.u8(2)
		entries.u32(0)
	}
	entries.u8(0)
	ranges := make([]byte, 16*pairs)
	for i := range pairs {
		binary.LittleEndian.PutUint64(ranges[16*i:], 8) // from 8 to 8
		binary.LittleEndian.PutUint64(ranges[16*i+8:], 8)
	}
	v, notes, frames := visitOnce(t, Sections{Info: version4(entries.b), Abbrev: abbrev.b, Ranges: ranges}, 0x1000)
	// One list may be begun when there is no work left.
	if v.work > 0 || v.work < -2*pairs || frames != nil {
		t.Errorf("%d work left, frames %v", v.work, frames)
	}
	wantNote(t, notes, "range lists")
}

// Entries that refer to each other, and to themselves.
func TestReferencesInCircles(t *testing.T) {
	var abbrev, entries asm
	abbrev.declare(1, tagCompileUnit, 1)
	abbrev.declare(2, tagSubprogram, 0, [2]uint64{atOrigin, formRef4}, [2]uint64{atLow, formAddr}, [2]uint64{atHigh, formData4})
	abbrev.declare(3, tagSubprogram, 0, [2]uint64{atSpec, formRef4})
	abbrev.u8(0)
	const first, function = headerSize + 1, 1 + 4 + 8 + 4
	entries.u8(1, 2)
	entries.u32(first + function)
	entries.u64(0x1000)
	entries.u32(0x100)
	entries.u8(3)
	entries.u32(first)
	entries.u8(0)
	for _, self := range []bool{false, true} {
		e := slices.Clone(entries.b)
		if self {
			binary.LittleEndian.PutUint32(e[2:], first)
		}
		_, notes, frames := visitOnce(t, Sections{Info: version4(e), Abbrev: abbrev.b}, 0x1010)
		if len(frames) != 1 || frames[0].Func != "" {
			t.Errorf("self %v: %+v", self, frames)
		}
		wantNote(t, notes, "references")
	}
}

// A form that tells that another one follows, which tells the same.
func TestIndirectChain(t *testing.T) {
	var abbrev, entries asm
	abbrev.declare(1, tagCompileUnit, 1)
	abbrev.declare(2, tagSubprogram, 0, [2]uint64{atName, formIndirect}, [2]uint64{atLow, formAddr}, [2]uint64{atHigh, formData4})
	abbrev.u8(0)
	entries.u8(1, 2)
	entries.b = append(entries.b, slices.Repeat([]byte{formIndirect}, 1<<20)...)
	_, notes, frames := visitOnce(t, Sections{Info: version4(entries.b), Abbrev: abbrev.b}, 0x1000)
	if frames != nil {
		t.Errorf("%+v", frames)
	}
	wantNote(t, notes, "beyond the end of its unit")
}

// Functions within functions, deeper than any compiler goes.
func TestNesting(t *testing.T) {
	var abbrev, entries asm
	abbrev.declare(1, tagCompileUnit, 1)
	abbrev.declare(2, tagInlined, 1, [2]uint64{atLow, formAddr}, [2]uint64{atHigh, formData4})
	abbrev.u8(0)
	entries.u8(1)
	for range 2 * maxDepth {
		entries.u8(2)
		entries.u64(0x1000)
		entries.u32(0x100)
	}
	_, notes, frames := visitOnce(t, Sections{Info: version4(entries.b), Abbrev: abbrev.b}, 0x1000)
	if len(frames) > maxInlined+1 {
		t.Errorf("%d frames", len(frames))
	}
	wantNote(t, notes, "nested")
}

// A line table of 2^60 directories, and of entries that take no bytes.
func TestDirectoriesWithoutEnd(t *testing.T) {
	for _, form := range []uint64{formFlagPresent, formData1} {
		var head, line asm
		head.u8(1, 1, 1, 0xff, 4, 10)
		head.u8(0, 1, 1, 1, 1, 0, 0, 0, 1)
		head.u8(1)
		head.uleb(lnctPath)
		head.uleb(form)
		head.uleb(1 << 60)
		head.u8(make([]byte, 1<<20)...)
		line.u16(5)
		line.u8(8, 0)
		line.u32(uint32(len(head.b)))
		line.u8(head.b...)
		s := unitWith(nil)
		s.Line = sized(line.b)
		v, _, _ := visitOnce(t, s, 0x1000)
		if n := len(v.lines.dirs); n > maxNames {
			t.Errorf("form %#x: %d directories", form, n)
		}
	}
}
