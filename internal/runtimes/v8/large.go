package v8

import (
	"bytes"
	"slices"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/maps"
)

// scriptKey is what a script is recognised by in another stop.
type scriptKey struct {
	obj, id, source, addr uint64
	length                int
	name                  string
}

// Bounds of what is remembered of scripts.
const (
	maxLargeScripts = 256
	maxLines        = 8 << 20 // of all of them
)

// linesOf finds where the lines of a script begin whose text was too long to read while the
// process stood still, or is not in V8's heap; nil where that cannot be told. Such a text
// does not move, and never changes. That it was still there when it was read is seen by
// what leads to it, which is read again after it.
func (r *reader) linesOf(s *script, read bool) []int32 {
	if !s.hasSource {
		return nil
	}
	t := &s.source
	key := scriptKey{s.obj, s.id, t.obj, t.addr, t.length, s.name}
	if starts, known := r.large[key]; known {
		return starts
	}
	if !read || r.heap.stopped || len(r.large) >= maxLargeScripts || t.size(t.length) > maxLarge {
		return nil
	}
	if r.large == nil {
		r.large = make(map[scriptKey][]int32)
	}
	var starts []int32
	if raw := r.readLarge(s); raw != nil {
		starts = append(starts, 0)
		eachLine(raw, t.wide, func(start int) bool {
			starts = append(starts, int32(start))
			return r.lines+len(starts) <= maxLines
		})
	}
	if r.lines += len(starts); r.lines > maxLines {
		starts = nil
	}
	r.large[key] = slices.Clip(starts)
	return starts
}

// stringHead is how much of a string tells what it is: its map, its length, and what leads
// to its text, in bytes.
const stringHead = 32

// readLarge reads the text of a script of a process that runs, nil where it has changed.
func (r *reader) readLarge(s *script) []byte {
	t := &s.source
	heads := []process.Range{{Start: s.obj - 1, Len: r.l.scriptLineEnds + 16}, {Start: t.obj - 1, Len: stringHead}}
	if t.inHeap {
		heads[1].Len = r.l.stringChars
	}
	want := make([][]byte, len(heads))
	for i, h := range heads {
		want[i] = make([]byte, h.Len)
		if r.heap.Read(h.Start, want[i]) < len(want[i]) {
			return nil
		}
	}
	clear(want[0][r.l.scriptLineEnds : r.l.scriptLineEnds+8]) // V8 may make it meanwhile
	size := t.size(t.length)
	raw := r.running.Prefetch([]process.Range{{Start: t.addr, Len: uint64(size)}})[0]
	if len(raw) < size || r.isConstant(t.addr, uint64(size)) {
		return raw[:min(size, len(raw)):size]
	}
	for i, b := range r.running.Prefetch(heads) {
		if i == 0 && len(b) == len(want[0]) {
			b = bytes.Clone(b)
			clear(b[r.l.scriptLineEnds : r.l.scriptLineEnds+8])
		}
		if !bytes.Equal(b, want[i]) {
			return nil
		}
	}
	return raw
}

// isConstant reports whether memory is that of a file, mapped so that it cannot be written
// to: V8's own scripts are in the program.
func (r *reader) isConstant(addr, n uint64) bool {
	i := r.space.Maps.FindIndex(addr)
	if i < 0 {
		return false
	}
	e := &r.space.Maps.Entries[i]
	return e.IsFile() && e.Perm&maps.Write == 0 && addr+n >= addr && addr+n <= e.End
}
