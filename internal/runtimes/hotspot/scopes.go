package hotspot

import (
	"sort"

	"github.com/gatedso/bt/internal/process"
)

// maxInlined bounds the methods that are inlined into one another.
const maxInlined = 256

// debugInfo is where the tables of a compiled method lie (code/nmethod.hpp).
type debugInfo struct {
	pcs, pcsEnd uint64 // PcDesc[]
	scopes      uint64
	metadata    uint64 // Metadata*[]
}

func (l *layout) debugInfo(m *process.Recorder, b *blob) (d debugInfo, ok bool) {
	pcs, ok1 := m.Word(b.addr+l.scopesPcs, 4)
	switch {
	case l.immutableKinds:
		base, _ := m.Word(b.addr+l.immutable, 8)
		data, ok2 := m.Word(b.addr+l.scopesData, 4)
		d.pcs, d.pcsEnd, d.scopes = base+pcs, base+data, base+data
		ok1 = ok1 && ok2
	default:
		end, ok2 := m.Word(b.addr+l.pcsEnd, 4)
		d.pcs, d.pcsEnd = b.addr+pcs, b.addr+end
		ok1 = ok1 && ok2
		if l.major == 8 {
			off, _ := m.Word(b.addr+l.scopesData, 4)
			d.scopes = b.addr + off
		} else {
			d.scopes, _ = m.Word(b.addr+l.scopesData, 8)
		}
	}
	if l.mutableMetadata {
		base, _ := m.Word(b.addr+l.mutable, 8)
		reloc, _ := m.Word(b.addr+l.relocSize, 4)
		d.metadata = base + reloc
	} else {
		off, _ := m.Word(b.addr+l.metadata, 4)
		d.metadata = b.addr + off
		if l.immutableKinds { // JDK 23 counts from the data
			data, _ := m.Word(b.addr+l.dataOffset, 4)
			d.metadata += data
		}
	}
	const maxPcs = 16 << 20
	return d, ok1 && d.pcs != 0 && d.pcs <= d.pcsEnd && d.pcsEnd-d.pcs < maxPcs
}

// scope returns the offset in the scopes of what describes pc. A return address has an
// entry of its own. For an interrupted instruction the next one says which bytecode
// the code around belongs to, as HotSpot's own profilers take it.
func (l *layout) scope(m *process.Recorder, b *blob, d *debugInfo, pc uint64, exact bool) (uint64, bool) {
	n := int((d.pcsEnd - d.pcs) / l.pcdescSize)
	want := int64(pc - b.begin)
	at := func(i int) int64 {
		v, _ := m.Word(d.pcs+uint64(i)*l.pcdescSize, 4)
		return int64(int32(v))
	}
	i := sort.Search(n, func(i int) bool { return at(i) >= want })
	if i == n || !exact && at(i) != want {
		return 0, false
	}
	off, ok := m.Word(d.pcs+uint64(i)*l.pcdescSize+4, 4)
	return off, ok && off != 0
}

// scopes returns the methods whose code pc is in, the innermost first, by what the
// compiler wrote down (code/scopeDesc.cpp). It reports false where that does not fit the
// method that was compiled: the outermost must be that.
func (l *layout) scopes(m *process.Recorder, b *blob, pc uint64, exact bool) ([]bytecode, bool) {
	d, ok := l.debugInfo(m, b)
	if !ok {
		return nil, false
	}
	off, ok := l.scope(m, b, &d, pc, exact)
	if !ok {
		return nil, false
	}
	var list []bytecode
	for range maxInlined {
		s := stream{m: m, at: d.scopes + off, left: 64, stride: l.stride}
		sender, ok1 := s.unsigned()
		index, ok2 := s.unsigned()
		bci, ok3 := s.unsigned()
		if !ok1 || !ok2 || !ok3 || index == 0 {
			return nil, false
		}
		method, ok := m.Word(d.metadata+8*uint64(index-1), 8)
		if !ok {
			return nil, false
		}
		list = append(list, bytecode{method, int64(bci) - 1})
		if sender == 0 {
			return list, method == b.method
		}
		if uint64(sender) >= off { // callers are written first
			return nil, false
		}
		off = uint64(sender)
	}
	return nil, false
}
