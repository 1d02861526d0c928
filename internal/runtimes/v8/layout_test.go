package v8

import (
	"maps"
	"strings"
	"testing"
)

// constants are what the symbols of each V8 that bt reads say.
var constants = map[string]uint32{
	"TaggedSize": 8, "HeapObjectTag": 1, "HeapObjectTagMask": 3, "SmiTag": 0, "SmiTagMask": 1, "SmiShiftSize": 31, "SmiValueShift": 1,
	"StringRepresentationMask": 7, "SeqStringTag": 0, "ConsStringTag": 1, "ExternalStringTag": 2, "SlicedStringTag": 3, "ThinStringTag": 5,
	"StringEncodingMask": 8, "OneByteStringTag": 8, "off_fp_context": 0xfffffff8, "off_fp_function": 0xfffffff0,
	"off_fp_bytecode_array": 0xffffffe0, "off_fp_bytecode_offset": 0xffffffd8, "scopeinfo_idx_ncontextlocals": 2, "scopeinfo_idx_first_vars": 5,
	"DeoptimizationDataSharedFunctionInfoIndex": 6, "DeoptimizationDataLiteralArrayIndex": 2,
}

// described is what a V8 says of itself: asked is what it was asked for.
func described(values map[string]uint32, asked map[string]bool) func(string) (uint32, bool) {
	return func(name string) (uint32, bool) {
		if asked != nil {
			asked[name] = true
		}
		if v, ok := values[name]; ok {
			return v, v != gone
		}
		return 16, strings.HasPrefix(name, "class_") || strings.HasPrefix(name, "type_") || strings.Contains(name, "Type") || strings.HasPrefix(name, "CodeKind") || strings.HasPrefix(name, "Deopt")
	}
}

const gone = 1 << 31

// TestLayout makes the layouts of all versions that are read.
func TestLayout(t *testing.T) {
	for v := range known {
		asked := make(map[string]bool)
		if _, err := newLayout(v, described(constants, asked)); err != nil {
			t.Errorf("%v: %v", v, err)
		}
		// Without what nothing else tells there is none.
		for name := range constants {
			values := maps.Clone(constants)
			values[name] = gone
			if _, err := newLayout(v, described(values, nil)); err == nil && !strings.HasPrefix(name, "Deopt") {
				t.Errorf("%v: a layout without %s", v, name)
			}
		}
		if len(asked) < 60 {
			t.Errorf("%v: asked for %d symbols", v, len(asked))
		}
	}
}

// TestNoLayout tells why a V8 is not read.
func TestNoLayout(t *testing.T) {
	with := func(name string, v uint32) map[string]uint32 {
		values := maps.Clone(constants)
		values[name] = v
		return values
	}
	for _, c := range []struct {
		v      version
		values map[string]uint32
		want   string
	}{
		{version{12, 4}, with("TaggedSize", gone), "no v8dbg_ symbols"},
		{version{9, 4}, constants, "does not know this version"},
		{version{15, 0}, constants, "does not know this version"},
		{version{12, 4}, with("TaggedSize", 4), "compressed pointers"},
		{version{12, 4}, with("SmiShiftSize", 0), "SmiShiftSize is 0"},
		{version{12, 4}, with("class_JSFunction__shared__SharedFunctionInfo", gone), "JSFunction__shared__SharedFunctionInfo"},
		{version{12, 4}, with("class_Script__name__Object", 1<<20), "Script__name__Object"},
		{version{12, 4}, with("off_fp_function", 0xffff0000), "off_fp_function"},
		{version{12, 4}, with("scopeinfo_idx_first_vars", 4), "scopeinfo_idx_first_vars"},
	} {
		_, err := newLayout(c.v, described(c.values, nil))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.v, err, c.want)
		}
	}
}

// TestFindPosition looks into tables that V8 has made of: function f(a) { var x = 1; x = x
// + 1; g(a, x); }, from position 28 on.
func TestFindPosition(t *testing.T) {
	entry := func(b []byte, code uint64, pos int64) []byte {
		for v := code; ; v >>= 7 {
			if v < 0x80 {
				b = append(b, byte(v))
				break
			}
			b = append(b, byte(v)|0x80)
		}
		z := uint64(pos<<1) ^ uint64(pos>>63)
		for ; z >= 0x80; z >>= 7 {
			b = append(b, byte(z)|0x80)
		}
		return append(b, byte(z))
	}
	// A position is counted from 1 and twice itself.
	var two []byte
	last := 0
	for _, e := range [][2]int{{2, 39}, {7, 53}, {15, 62}, {19, 67}, {14, 67}, {27, 80}} {
		two = entry(two, uint64(e[0]), int64(2*(e[1]+1)-last))
		last = 2 * (e[1] + 1)
	}
	for offset, want := range map[int]int{-1: 39, 0: 53, 2: 53, 3: 62, 9: 67, 10: 67, 15: 67, 16: 80, 100: 80} {
		if p, ok := findPosition(two, offset, 2); !ok || p.offset() != want {
			t.Errorf("offset %d: %d, %v, want %d", offset, p.offset(), ok, want)
		}
	}
	one := entry(entry(nil, 2, 2*11), 2*300+1, -2*5) // after 0, at 10; after 300, at 5
	for offset, want := range map[int]int{0: 10, 299: 10, 300: 5} {
		if p, ok := findPosition(one, offset, 1); !ok || p.offset() != want {
			t.Errorf("offset %d: %d, %v, want %d", offset, p.offset(), ok, want)
		}
	}
	if _, ok := findPosition(one, -1, 1); ok {
		t.Error("something is before the first entry")
	}
	if _, ok := findPosition([]byte{0x80, 0x80}, 1, 1); ok {
		t.Error("a number without an end is read")
	}
}

func TestCountLines(t *testing.T) {
	for text, want := range map[string][2]int{
		"": {0, 0}, "a": {0, 0}, "a\n": {1, 2}, "a\nb": {1, 2}, "a\r\nb": {1, 3}, "\r\r\n": {2, 3}, "\n\n\nx": {3, 3}, "a\r": {1, 2},
	} {
		if lines, start := countLines([]byte(text), false); lines != want[0] || start != want[1] {
			t.Errorf("%q: %d lines, the last from %d, want %v", text, lines, start, want)
		}
		var wide []byte
		for _, c := range text {
			wide = append(wide, byte(c), 0)
		}
		if lines, start := countLines(wide, true); lines != want[0] || start != want[1] {
			t.Errorf("%q, two bytes each: %d lines, the last from %d, want %v", text, lines, start, want)
		}
	}
	if lines, start := countLines([]byte{'a', 0, 0x28, 0x20, 'b', 0, 0x29, 0x20}, true); lines != 2 || start != 4 {
		t.Errorf("separators: %d lines, the last from %d", lines, start)
	}
}

func TestPathOf(t *testing.T) {
	for name, want := range map[string]string{
		"/srv/app.js": "/srv/app.js", "node:fs": "node:fs", "file:///srv/app.mjs": "/srv/app.mjs", "file:///srv/a%20b.mjs": "/srv/a b.mjs",
		"file:///srv/a.mjs?t=1": "file:///srv/a.mjs?t=1", "file://host/a.mjs": "file://host/a.mjs", "file:///%zz": "file:///%zz", "file:///a%00b": "file:///a%00b",
	} {
		if got := pathOf(name); got != want {
			t.Errorf("pathOf(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestSizes cuts a table of sizes, behind which other data begins, into its parts.
func TestSizes(t *testing.T) {
	const n = 200
	var b []byte
	for _, scale := range []int{1, 2, 4} {
		for i := range n {
			b = append(b, byte(1+i%5*scale))
		}
	}
	s := cutSizes(append(b, make([]byte, 168)...))
	if s == nil || len(s[0]) != n {
		t.Fatalf("sizes: %v", s)
	}
	text := []byte{wide, 4, 0, 0, 0, 0, 0, 0, 0, 0, 9}
	if got := s.of(text, 0); got != 1+1+4*2 {
		t.Errorf("a wide bytecode is of %d bytes", got)
	}
	if got := s.of(text, len(text)-1); got != 5 {
		t.Errorf("a bytecode is of %d bytes", got)
	}
	if s.of(text, len(text)) != 0 || s.of([]byte{wide}, 0) != 0 || s.of([]byte{250}, 0) != 0 {
		t.Error("there are bytecodes behind the end")
	}
	if cutSizes(make([]byte, 768)) != nil {
		t.Error("zeros are sizes")
	}
}
