package gopcln

// Frame is a function at an address: the one whose code it is, or one that is
// inlined into it. The bytes are the table's memory.
type Frame struct {
	Func []byte
	File []byte // as the compiler had it; nil where the table does not tell
	Line int32
}

// Lines tells the source lines of a table, and with the table of inlined calls
// also these.
type Lines struct {
	t     *Table
	trees []byte // from go:func.* on: what functions' FUNCDATA offsets are relative to; may be nil
}

// Fields of a function's record, behind its pc.
const (
	pcfileField   = 16
	pclnField     = 20
	npcdataField  = 24
	cuOffsetField = 28 // since 1.16
)

// What the runtime finds the tree of a function's inlined calls by
// (internal/abi/symtab.go).
const (
	pcdataInlTreeIndex = 2
	funcdataInlTree    = 3
)

// Lines returns the table's source lines. trees are the bytes from moduledata's
// field gofunc on (symbol go:func.*), nil when they are not known; see HoldsTrees. It reports false for tables from before Go 1.16.
func (t *Table) Lines(trees []byte) (*Lines, bool) {
	if t.version < go116 {
		return nil, false
	}
	return &Lines{t: t, trees: trees}, true
}

// maxInlined bounds the calls inlined at one address.
const maxInlined = 256

// Frames appends the frames at pc to dst, the innermost first. A return address
// is to be looked up one byte earlier.
func (l *Lines) Frames(dst []Frame, pc uint64) []Frame {
	f, ok := l.t.Func(pc)
	if !ok || pc >= f.CodeEnd() {
		return dst
	}
	tree, ok := l.tree(f)
	for range maxInlined {
		var c inlinedCall
		index := int32(-1)
		if ok {
			index = f.value(f.pcdata(pcdataInlTreeIndex), pc)
		}
		inlined := index >= 0 && c.read(l.t, tree, index)
		name := f.NameBytes()
		if inlined {
			name = l.t.name(c.name)
		}
		dst = append(dst, Frame{name, f.file(pc), f.value(f.field(pclnField), pc)})
		if !inlined || c.parentPC >= f.End-f.Entry {
			break
		}
		pc = f.Entry + c.parentPC
	}
	return dst
}

// HoldsTrees reports whether b can be the bytes from go:func.* on: the trees of
// functions all over the table are there. It reports false if no function has
// inlined calls.
func (t *Table) HoldsTrees(b []byte) bool {
	const samples = 4096
	if t.version < go118 {
		return false // offsets are pointers there
	}
	l := Lines{t: t, trees: b}
	seen := 0
	for i := 0; i < t.nfunc; i += 1 + t.nfunc/samples {
		f, ok := t.At(i)
		if !ok || f.funcdata(funcdataInlTree) == noOffset {
			continue
		}
		tree, ok := l.tree(f)
		var c inlinedCall
		if !ok || !c.read(t, tree, 0) || c.parentPC >= f.End-f.Entry || len(t.name(c.name)) == 0 || c.name > 0 && t.names[c.name-1] != 0 {
			return false
		}
		seen++
	}
	return seen > 0
}

// inlinedCall is an entry of a tree (runtime/symtabinl.go).
type inlinedCall struct {
	name     uint32 // offset of the name
	parentPC uint64 // from the function's entry: of an instruction at the call
}

func (c *inlinedCall) read(t *Table, tree []byte, i int32) bool {
	size, name, parent := 16, 4, 8
	if t.version < go120 {
		size, name, parent = 20, 12, 16
	}
	at := int64(i) * int64(size)
	if i < 0 || at+int64(size) > int64(len(tree)) {
		return false
	}
	e := tree[at:]
	c.name, c.parentPC = uint32(t.uint(e[name:], 4)), t.uint(e[parent:], 4)
	return true
}

// tree returns the bytes from the start of a function's tree on.
func (l *Lines) tree(f Func) ([]byte, bool) {
	off := f.funcdata(funcdataInlTree)
	if off == noOffset || uint64(off) >= uint64(len(l.trees)) {
		return nil, false
	}
	return l.trees[off:], true
}

// noOffset stands for nothing where there could be an offset.
const noOffset = ^uint32(0)

func (f Func) field(at int) uint32 { return uint32(f.t.uint(f.rec[at:], 4)) }

// pcdata returns the offset of a function's i-th pc-value table, 0 for none.
func (f Func) pcdata(i int) uint32 {
	if uint32(i) >= min(f.field(npcdataField), 64) {
		return 0
	}
	v, _ := f.behind(i)
	return v
}

// funcdata returns the offset of a function's i-th auxiliary table.
func (f Func) funcdata(i int) uint32 {
	if f.t.version < go118 || i >= int(f.rec[len(f.rec)-1]) {
		return noOffset
	}
	n := f.field(npcdataField)
	if n > 64 {
		return noOffset
	}
	v, ok := f.behind(int(n) + i)
	if !ok {
		return noOffset
	}
	return v
}

// behind returns the i-th number behind the fixed part of a function's record.
func (f Func) behind(i int) (uint32, bool) {
	b := f.rec[:cap(f.rec)]
	at := len(f.rec) + 4*i
	if at+4 > len(b) {
		return 0, false
	}
	return uint32(f.t.uint(b[at:], 4)), true
}

// value returns the value at pc of the pc-value table at off, -1 for none.
func (f Func) value(off uint32, pc uint64) int32 {
	w := f.walkAt(off)
	for w.next() {
		if pc < w.pc {
			return w.val
		}
	}
	return -1
}

// file returns the path of the source file at pc.
func (f Func) file(pc uint64) []byte {
	i := f.value(f.field(pcfileField), pc)
	if i < 0 {
		return nil
	}
	at := (uint64(f.field(cuOffsetField)) + uint64(i)) * 4
	if at+4 > uint64(len(f.t.cus)) {
		return nil
	}
	return cstring(f.t.files, f.t.uint(f.t.cus[at:], 4))
}

// name returns the name at off in the table of names.
func (t *Table) name(off uint32) []byte { return cstring(t.names, uint64(off)) }
