package v8

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/process"
)

// fuzzLayout has types that are small numbers and fields that are near, so that what a
// fuzzer makes of a few hundred bytes leads everywhere.
func fuzzLayout(v version) *layout {
	l := &layout{
		version: v, jumpLoop: 0x92,
		mapType: 0, sharedType: 1, scriptType: 2, scopeType: 3, bytecodeType: 4, codeType: 5, streamType: 6, wrapperType: 7, dataType: 8,
		firstContext: 16, lastContext: 24, firstFunction: 32, lastFunction: 48, firstNonstring: 0x80,
		byteArrays: []uint16{9}, arrays: []uint16{10, 11}, mapInstance: 12,
		fpContext: -8, fpFunction: -16, fpBytecodes: -32, fpOffset: -40, functionShared: 24,
		sharedName: 16, sharedScript: 24, sharedData: 8, wrapperShared: 8, scopeLocals: 2, scopeFirst: 3, scopeEval: 1, scopeModule: 3,
		scriptName: 16, scriptSource: 8, scriptLineEnds: 56, scriptLine: 24, scriptColumn: 32,
		stringLength: 12, stringChars: 16, consFirst: 16, consSecond: 24, slicedParent: 16, slicedOffset: 24, thinActual: 16, externalData: 24,
		arrayLength: 8, arrayData: 16, bytecodesData: 0x38, bytecodesPositions: 0x20, positionFlags: 1,
		instructions: 0x20, streamCode: 8, codeDeopt: 8, codePositions: 16, codeStart: 0x28, codeFlags: 0x30, codeSize: 0x34,
		kindMask: 0xf, kindBaseline: 10, deoptCount: 1, deoptLiterals: 2, deoptShared: 6, deoptInlining: 7, deoptExits: 8,
	}
	if !v.atLeast(11, 0) {
		l.inPlace = true
	}
	if v.atLeast(12, 5) {
		l.positionsFirst, l.scopeFirst = true, 5
	}
	return l
}

// fuzzTypes are the types of the objects that a fuzzer makes: those of fuzzLayout.
var fuzzTypes = []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 32, 0, 1, 2, 3, 5, 8, 9, 10, 11, 13, 24, 25}

const (
	fuzzBase = 0x10000
	fuzzMaps = 0x100001 // the first of the maps: pointers to them are not followed
)

// decoded is a memory each word of which a byte tells: a map, a pointer to an object, a
// small integer, or, at every other one, the byte itself again and again.
func decoded(data []byte) *process.Recorder {
	memory := make([]byte, 0, 8*len(data))
	for i, b := range data {
		var w uint64
		switch {
		case int(b) < len(fuzzTypes):
			w = fuzzMaps + 16*uint64(b)
		case b < 160:
			w = fuzzBase + 16*uint64(b-25) + 1
		case b < 224:
			w = uint64(b-160) << 32
		case b < 232:
			w = fuzzBase + 8*uint64(i) // a frame pointer
		default:
			w = uint64(b) * 0x0101010101010101
		}
		memory = binary.LittleEndian.AppendUint64(memory, w)
	}
	return process.NewRecorder(process.FetchBy(func(addr uint64, b []byte) int {
		if addr < fuzzBase || addr-fuzzBase >= uint64(len(memory)) {
			return 0
		}
		return copy(b, memory[addr-fuzzBase:])
	}))
}

// FuzzMemory reads whatever there is from a memory of nonsense.
func FuzzMemory(f *testing.F) {
	for typ := range byte(len(fuzzTypes)) {
		words := make([]byte, 256)
		for i := range words {
			words[i] = []byte{typ, byte(160 + i%8), byte(25 + i%130), byte(i % 25)}[(i/2)%4]
		}
		f.Add(words, uint16(8*typ), uint16(10+typ%5))
	}
	f.Fuzz(func(t *testing.T, data []byte, at16, major uint16) {
		if len(data) == 0 || len(data) > 4096 || major < 10 || major > 14 {
			return
		}
		l := fuzzLayout(version{int(major), 6})
		r := &reader{l: l, jit: []span{{fuzzBase, 1 << 20}}, frames: make(map[uint64]*frame), missed: make(map[uint64]bool)}
		r.heap = newHeap(decoded(data), l)
		for i, typ := range fuzzTypes {
			r.heap.types[fuzzMaps+16*uint64(i)] = typ
		}
		r.nosize, r.sizes = true, &sizes{seq(200, 1), seq(200, 2), seq(200, 4)}
		at := fuzzBase + uint64(at16)
		r.interpretedNames(0, at&^7)
		for _, exact := range []bool{true, false} {
			if c := r.codeAt(at, exact); c != nil {
				r.calls(c, at, exact)
				r.baseline(c, at, at&^7, exact)
			}
		}
		readAll(t, r, at, data)
	})
}

// readAll reads the object at an address as each kind.
func readAll(t *testing.T, r *reader, at uint64, data []byte) {
	h, obj := r.heap, at&^7|1
	h.str(obj)
	f := h.function(obj)
	if f == nil {
		f = &function{obj: obj, script: h.script(obj), end: 1 << 20}
	}
	h.scope(obj, f)
	c := &code{
		start: at - 64, end: at + 64, optimised: true, baseline: true, function: f, positions: data, exits: 1 << 20,
		literals: obj, inlined: 3, inlinings: data, maglev: at&8 != 0, places: make(map[uint64][]located), bytecodes: h.bytecodes(obj),
	}
	h.deoptimisation(c, obj)
	for _, n := range h.names(r.calls(c, at, false)) {
		if n.Line < 0 || n.Column < 0 {
			t.Errorf("%+v", n)
		}
	}
	if c.bytecodes == nil {
		c.bytecodes = &bytecodes{obj: obj, length: 64, positions: data}
	}
	r.bytecodeAt(c, int(at%64), false)
	h.isLoop(c.bytecodes, int(at%64))
	if s := h.script(obj); s != nil {
		if line, column := h.lineOf(s, int(at%4096)); line < 0 || column < 0 {
			t.Errorf("line %d, column %d", line, column)
		}
	}
	countLines(data, at&1 != 0)
}

func seq(n int, v byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = v
	}
	return b
}
