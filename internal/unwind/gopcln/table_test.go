package gopcln

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/arch/x86"
)

// layout is one of the forms that a table can have.
type layout struct {
	version version
	ptrSize int
	order   order
	quantum byte
}

type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func layouts() (all []layout) {
	for v := go12; v <= go120; v++ {
		for _, size := range []int{4, 8} {
			for _, order := range []order{binary.LittleEndian, binary.BigEndian} {
				all = append(all, layout{v, size, order, 1}, layout{v, size, order, 4})
			}
		}
	}
	return all
}

func (l layout) String() string {
	return fmt.Sprintf("go%s/%d/%v/%d", [...]string{"1.2", "1.16", "1.18", "1.20"}[l.version], l.ptrSize*8, l.order, l.quantum)
}

// testText is where the functions of write start.
const testText = 0x401000

// fn is a function for write: deltas are SP deltas and how many instructions
// each holds for.
type fn struct {
	name   string
	size   uint64
	flags  Flags
	deltas [][2]int
}

// write makes a table as cmd/link would.
func (l layout) write(text uint64, fns []fn) []byte {
	word := func(b []byte, v uint64) []byte {
		if l.ptrSize == 8 {
			return l.order.AppendUint64(b, v)
		}
		return l.order.AppendUint32(b, uint32(v))
	}
	u32 := func(b []byte, v int) []byte { return l.order.AppendUint32(b, uint32(v)) }

	names, values := []byte{0}, []byte{0}
	var nameOff, valueOff []int
	for _, f := range fns {
		nameOff = append(nameOff, len(names))
		names = append(append(names, f.name...), 0)
		if f.deltas == nil {
			valueOff = append(valueOff, 0)
			continue
		}
		valueOff = append(valueOff, len(values))
		val := -1
		for _, d := range f.deltas {
			diff := int32(d[0] - val)
			values = binary.AppendUvarint(values, uint64(uint32(diff)<<1^uint32(diff>>31)))
			values = binary.AppendUvarint(values, uint64(d[1]))
			val = d[0]
		}
		values = append(values, 0)
	}

	magic := map[version]uint32{go12: 0xfffffffb, go116: 0xfffffffa, go118: 0xfffffff0, go120: 0xfffffff1}[l.version]
	b := append(l.order.AppendUint32(nil, magic), 0, 0, l.quantum, byte(l.ptrSize))
	b = word(b, uint64(len(fns)))
	pcSize := 4
	num := func(b []byte, v uint64) []byte { return u32(b, int(v)) }
	if l.version <= go116 {
		pcSize, num = l.ptrSize, word
	}
	recBase := (2*len(fns) + 1) * pcSize // of the first record in its part
	namesAt, valuesAt := 0, 0            // what offsets in records are relative to
	switch l.version {
	case go12:
		recBase += len(b)
		namesAt = recBase + len(fns)*(pcSize+recordSize[l.version])
		valuesAt = namesAt + len(names)
	case go116, go118, go120:
		b = word(b, 7) // nfiles
		fields := 5
		if l.version >= go118 {
			b = word(b, text)
		}
		at := uint64(len(b) + fields*l.ptrSize)
		b = word(b, at) // names
		b = word(b, at) // cu
		b = word(b, at) // files
		b = word(b, at+uint64(len(names)))
		b = word(b, at+uint64(len(names)+len(values)))
		b = append(append(b, names...), values...)
	}
	pc := text
	if l.version >= go118 {
		pc = 0
	}
	rec := recBase
	for _, f := range fns {
		b = num(b, pc)
		b = num(b, uint64(rec))
		pc += f.size
		rec += pcSize + recordSize[l.version]
	}
	end := pc
	b = num(b, end)
	pc -= end - text
	if l.version >= go118 {
		pc = 0
	}
	for i, f := range fns {
		b = num(b, pc)
		pc += f.size
		r := u32(nil, namesAt+nameOff[i])
		r = u32(r, 0)
		r = u32(r, 0)
		if valueOff[i] != 0 {
			r = u32(r, valuesAt+valueOff[i])
		} else {
			r = u32(r, 0)
		}
		for len(r) < recordSize[l.version]-4 {
			r = u32(r, 0)
		}
		b = append(append(b, r...), 0, byte(f.flags), 0, 0)
	}
	if l.version == go12 {
		b = append(append(b, names...), values...)
	}
	return b
}

func testFuncs(quantum int) []fn {
	return []fn{
		{"go:start", uint64(32 * quantum), 0, [][2]int{{0, 4}, {8, 2}, {1 << 20, 9}, {0, 1}}},
		{"runtime.goexit", uint64(7 * quantum), TopFrame | Asm, [][2]int{{0, 7}}},
		{"external", uint64(16 * quantum), 0, nil},
		{"main.(*T[...]).f·1", uint64(300 * quantum), SPWrite, [][2]int{{0, 1}, {16, 200}, {-8, 99}}},
	}
}

func TestLayouts(t *testing.T) {
	for _, l := range layouts() {
		fns := testFuncs(int(l.quantum))
		tab, err := New(l.write(testText, fns), 0)
		if err != nil {
			t.Errorf("%v: %v", l, err)
			continue
		}
		if tab.Len() != len(fns) || tab.PtrSize() != l.ptrSize {
			t.Errorf("%v: %d functions, pointers of %d", l, tab.Len(), tab.PtrSize())
		}
		pc := uint64(testText)
		for _, want := range fns {
			f, ok := tab.Func(pc + want.size - 1)
			if !ok || f.Entry != pc || f.End != pc+want.size || f.Name() != want.name {
				t.Errorf("%v: %s at %#x: got %#x-%#x %q", l, want.name, pc, f.Entry, f.End, f.Name())
				continue
			}
			flags := want.flags
			if l.version == go12 {
				flags = 0
			}
			if f.Flags() != flags {
				t.Errorf("%v: %s: flags %x", l, want.name, f.Flags())
			}
			at := pc
			for _, d := range want.deltas {
				end := at + uint64(d[1])*uint64(l.quantum)
				for ; at < end; at++ {
					if got, ok := f.SPDelta(at); !ok || got != int64(d[0]) {
						t.Fatalf("%v: %s+%#x: delta %d, %v; want %d", l, want.name, at-pc, got, ok, d[0])
					}
				}
			}
			if want.deltas == nil {
				at = f.End
			}
			if got := f.CodeEnd(); got != at {
				t.Errorf("%v: %s: code ends at %#x, want %#x", l, want.name, got, at)
			}
			for _, out := range []uint64{pc - 1, at, f.End} {
				if _, ok := f.SPDelta(out); ok {
					t.Errorf("%v: %s: a delta at %#x", l, want.name, out)
				}
			}
			pc += want.size
		}
		if _, ok := tab.Func(pc); ok {
			t.Errorf("%v: a function behind the last", l)
		}
		if _, ok := tab.Func(testText - 1); ok {
			t.Errorf("%v: a function before the first", l)
		}
	}
}

func TestFindLayouts(t *testing.T) {
	for _, l := range layouts() {
		b := append(make([]byte, 64), l.write(testText, testFuncs(int(l.quantum)))...)
		if off, ok := Find(b, l.order); !ok || off != 64 {
			t.Errorf("%v: Find = %d, %v", l, off, ok)
		}
	}
}

func TestNew(t *testing.T) {
	for _, l := range layouts() {
		good := l.write(testText, testFuncs(int(l.quantum)))
		for n := range good {
			tab, err := New(good[:n], 0)
			if err != nil {
				continue
			}
			use(tab) // functions whose records are cut off are missing
		}
		moved, err := New(good, testText+0x1000)
		if err != nil {
			t.Errorf("%v: %v", l, err)
			continue
		}
		want := uint64(testText)
		if l.version >= go118 {
			want += 0x1000
		}
		if start, _ := moved.Range(); start != want {
			t.Errorf("%v: starts at %#x, want %#x", l, start, want)
		}
		if _, err := New(l.write(0, nil), 0); (err == ErrNoText) != (l.version >= go118) {
			t.Errorf("%v: no text start: %v", l, err)
		}
	}
	l := layout{go116, 8, binary.LittleEndian, 1}
	if _, err := New(l.write(0, []fn{{"a", 0, 0, nil}}), 0); err == nil {
		t.Error("a table that has not been relocated is taken")
	}
	for _, bad := range []string{"", "\xf1\xff\xff\xff\x00\x00\x01", "\xf1\xff\xff\xff\x00\x00\x01\x07xxxxxxxx",
		"\xf1\xff\xff\xff\x00\x00\x03\x08xxxxxxxx", "\xf2\xff\xff\xff\x00\x00\x01\x08xxxxxxxx", "\xf1\xff\xff\xff\x00\x01\x01\x08xxxxxxxx"} {
		if _, err := New([]byte(bad), 1); err == nil {
			t.Errorf("%q is taken for a table", bad)
		}
	}
}

// use calls everything on a table and its functions.
func use(t *Table) {
	start, end := t.Range()
	for _, pc := range []uint64{0, start, start/2 + end/2, end - 1, end, ^uint64(0)} {
		if f, ok := t.Func(pc); ok {
			f.SPDelta(pc)
		}
	}
	for i := range min(t.Len(), 100) {
		if f, ok := t.At(i); ok {
			f.SPDelta(f.Entry)
			f.SPDelta(f.End - 1)
			f.CodeEnd()
			f.Name()
			_ = f.Kind().String()
		}
	}
}

func FuzzTable(f *testing.F) {
	for _, l := range layouts() {
		f.Add(l.write(testText, testFuncs(int(l.quantum))), uint64(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, text uint64) {
		if tab, err := New(data, text); err == nil {
			use(tab)
		}
		if off, ok := Find(data, binary.LittleEndian); ok && off > len(data) {
			t.Fatal(off)
		}
		Find(data, binary.BigEndian)
		LocateText(data, data, text, x86.GoExit)
	})
}
