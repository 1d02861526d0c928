package cpython

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/process"
)

// debugBytes is _Py_DebugOffsets as it is in memory.
func debugBytes(words []uint64) []byte {
	b := []byte(debugCookie)
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// layoutFor is the layout of a version, whose debug offsets are those of the table in
// words_test.go.
func layoutFor(t testing.TB, v version) *layout {
	t.Helper()
	if v.minor < len(tables) {
		return tables[v.minor]
	}
	words := words313
	if v.atLeast(14) {
		words = words314
	}
	l, err := debugOffsets(v, debugBytes(words), binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The offsets of the structs of 3.13 and 3.14 that did not change are those of 3.12.
func TestDebugOffsets(t *testing.T) {
	old := tables[12]
	for _, minor := range []int{13, 14} {
		l := layoutFor(t, version{3, minor})
		for what, pair := range map[string][2]uint64{
			"ob_type":      {l.objectType, old.objectType},
			"tp_name":      {l.typeName, old.typeName},
			"tp_flags":     {l.typeFlags, old.typeFlags},
			"tp_basicsize": {l.typeBasicSize, old.typeBasicSize},
			"cached keys":  {l.typeCachedKeys, old.typeCachedKeys},
			"ob_sval":      {l.bytesData, old.bytesData},
			"co_filename":  {l.codeFile, old.codeFile},
			"co_qualname":  {l.codeQualName, old.codeQualName},
			"str":          {l.strASCII, old.strASCII},
			"compact str":  {l.strCompact, old.strCompact},
			"dict keys":    {l.dictKeys, old.dictKeys},
			"digits":       {l.longDigits, old.longDigits},
			"gil.cond":     {l.gilCond, old.gilCond},
			"gil.locked":   {l.gilLocked, old.gilLocked},
		} {
			if pair[0] != pair[1] {
				t.Errorf("3.%d: %s is at %d, in 3.12 at %d", minor, what, pair[0], pair[1])
			}
		}
		short := debugBytes(words313)
		if _, err := debugOffsets(version{3, minor}, short[:len(short)-8], binary.LittleEndian); err == nil {
			t.Errorf("3.%d: cut offsets are taken", minor)
		}
	}
}

// fake is a memory in which each address holds something: data, again and again.
func fake(v version, l *layout, data []byte) *memory {
	read := func(addr uint64, b []byte) int {
		for i := range b {
			b[i] = data[(addr+uint64(i))%uint64(len(data))]
		}
		return len(b)
	}
	return &memory{
		Recorder: process.NewRecorder(process.FetchBy(read)), l: l, v: v,
		order: binary.LittleEndian, types: make(map[uint64]string), places: make(map[place]int),
	}
}

// fakeImage puts objects into a memory for tests.
type fakeImage struct {
	data []byte
	l    *layout
}

func (im *fakeImage) word(addr, v uint64) { binary.LittleEndian.PutUint64(im.data[addr:], v) }

// typ makes a type with that name, and returns its address.
func (im *fakeImage) typ(addr uint64, name string) uint64 {
	im.word(addr+im.l.typeName, addr+1024)
	copy(im.data[addr+1024:], name+"\x00")
	return addr
}

// Strings of all kinds are read.
func TestStr(t *testing.T) {
	for _, minor := range []int{8, 9, 10, 11, 12, 13, 14} {
		v := version{3, minor}
		l := layoutFor(t, v)
		im := &fakeImage{make([]byte, 64<<10), l}
		typ := im.typ(4096, "str")
		for _, tt := range []struct {
			kind    int
			compact bool
			ascii   bool
			data    []byte
			want    string
		}{
			{1, true, true, []byte("plain"), "plain"},
			{1, true, false, []byte{'g', 0xf6}, "gö"},
			{2, true, false, []byte{0x3d, 0x04, 0x80, 0xdc}, "н\x80"},
			{4, true, false, []byte{0x00, 0xf6, 1, 0, 'x', 0, 0, 0}, "\U0001f600x"},
			{1, false, true, []byte("legacy"), "legacy"},
		} {
			const at, elsewhere = 8192, 16384
			im.word(at+l.objectType, typ)
			im.word(at+l.strLength, uint64(len(tt.data)/tt.kind))
			state := uint64(1 | tt.kind<<2)
			where := at + l.strCompact
			if tt.compact {
				state |= 1 << 5
			} else {
				im.word(at+l.strData, elsewhere)
				where = elsewhere
			}
			if tt.ascii {
				state |= 1 << 6
				if tt.compact {
					where = at + l.strASCII
				}
			}
			binary.LittleEndian.PutUint32(im.data[at+l.strState:], uint32(state))
			copy(im.data[where:], tt.data)
			m := fake(v, l, im.data)
			if got, ok := m.str(at); got != tt.want || !ok {
				t.Errorf("3.%d: %q, %v, want %q", minor, got, ok, tt.want)
			}
		}
	}
}

// A free-threaded build of 3.14 has a byte for how a string is interned.
func TestStrState(t *testing.T) {
	kind, compact, ascii, ok := strState(1 | 1<<8 | 1<<11 | 1<<12)
	if kind != 1 || !compact || !ascii || !ok {
		t.Error(kind, compact, ascii, ok)
	}
	if _, _, _, ok := strState(0); ok {
		t.Error("a state without a kind is taken")
	}
}

// FuzzMemory reads an interpreter out of memory that may hold anything, in which each
// pointer leads somewhere.
func FuzzMemory(f *testing.F) {
	for minor := 8; minor <= 14; minor++ {
		f.Add(uint8(minor), uint16(64), slices.Repeat([]byte{8, 0, 0, 0, 0, 0, 0, 0}, 64))
		f.Add(uint8(minor), uint16(8), make([]byte, 64))
		f.Add(uint8(minor), uint16(0), debugBytes(words314))
	}
	f.Fuzz(func(t *testing.T, minor uint8, at uint16, data []byte) {
		v := version{3, 8 + int(minor)%7}
		if len(data) < 8 {
			return
		}
		l := layoutFor(t, v)
		if v.atLeast(13) && len(data) > 1024 {
			if own, err := debugOffsets(v, data, binary.LittleEndian); err == nil {
				l = own
			}
		}
		m := fake(v, l, data)
		// Whatever the memory says, these types are met.
		for i, name := range []string{"str", "code", "frame", "bytes", "dict", "int"} {
			if at, ok := m.word(uint64(8 * i)); ok {
				m.types[at] = name
			}
		}
		_, threads, _ := m.interps(uint64(at))
		if len(threads) == 0 {
			threads = []*pyThread{{state: uint64(at), interp: new(interp)}}
		}
		limit := 1000
		for _, th := range threads[:min(len(threads), 4)] {
			r := frameReader{memory: m, limit: &limit, most: 100}
			th.segs, th.err = r.segments(th.state)
		}
		for i, name := range []string{"set", "weakref", "coroutine", "_asyncio.Task"} {
			if at, ok := m.word(uint64(8*i + 4)); ok {
				m.types[at] = name
			}
		}
		m.taskObjects(taskLists{weak: uint64(at), eager: uint64(at) + 8}, threads[0].interp, threads)
		m.asyncio = &asyncioOffsets{node: 8, interpHead: uint64(at), threadHead: 8}
		m.taskObjects(taskLists{}, threads[0].interp, threads[:min(len(threads), 4)])
		for i := range uint64(4) {
			if task, _ := m.readTask(uint64(at)+16*i, &limit, 10); task != nil && len(task.frames) > 10 {
				t.Errorf("%d frames of a task", len(task.frames))
			}
		}
		codes := m.readCodes(threads)
		for _, th := range threads {
			for _, s := range th.segs {
				for i := range s.frames {
					m.line(&s.frames[i], codes[s.frames[i].code])
				}
			}
		}
		n := 0
		for e := range m.dict(uint64(at)) {
			m.str(e.key)
			m.integer(e.value)
			m.attribute(e.value, "name")
			if n++; n > 1000 {
				return
			}
		}
		m.threadNames(uint64(at))
	})
}
