package dwarf

// row is what the line table says of an address.
type row struct {
	found         bool
	file          uint32
	line, column  uint32
	discriminator uint32
}

// lineTable is the header of a line number program (6.2.4).
type lineTable struct {
	ok      bool
	sizes   sizes
	c       *cu
	program []byte

	minInst, maxOps  uint8
	lineBase         int8
	lineRange        uint8
	opcodeBase       uint8
	lengths          []byte // of the standard opcodes' operands
	dirs             []lineName
	files            []lineFile
	advance, advLine [256]int32 // by special opcode
}

// lineName is a string of the header: bytes, or the attribute that leads to them.
type lineName struct {
	text []byte
	attr attr
}

type lineFile struct {
	lineName
	dir uint64
}

// maxNames bounds the directories and the files of a header.
const maxNames = 1 << 18

// readHeader reads the header of the program at off in .debug_line. c is the
// unit that the program belongs to.
func (t *lineTable) readHeader(c *cu, off uint64) bool {
	t.ok, t.c = false, c
	t.dirs, t.files, t.lengths = t.dirs[:0], t.files[:0], nil
	b := c.d.s.Line
	if off >= uint64(len(b)) {
		return false
	}
	big := c.d.big
	end, pos, offSize := initialLength(b, int(off), big)
	if end > len(b) {
		end = len(b) // a section that is cut short: take what there is
	}
	b = b[:end]
	version, pos := fixed(b, pos, 2, big)
	if version < 2 || version > 5 {
		return false
	}
	t.sizes = sizes{version: uint8(version), addr: c.u.sizes.addr, off: uint8(offSize), big: big}
	if version >= 5 {
		var addr uint64
		addr, pos = fixed(b, pos, 1, big)
		t.sizes.addr = uint8(addr)
		pos++ // the size of a segment selector
	}
	length, pos := fixed(b, pos, offSize, big)
	if pos > len(b) || length > uint64(len(b)-pos) {
		return false
	}
	t.program = b[pos+int(length):]
	h := b[:pos+int(length)]
	if t.maxOps = 1; version >= 4 {
		if pos+6 > len(h) {
			return false
		}
		t.maxOps = h[pos+1]
		t.minInst = h[pos]
		pos += 2
	} else {
		if pos+5 > len(h) {
			return false
		}
		t.minInst = h[pos]
		pos++
	}
	t.lineBase, t.lineRange, t.opcodeBase = int8(h[pos+1]), h[pos+2], h[pos+3]
	pos += 4
	if t.opcodeBase > 0 {
		n := int(t.opcodeBase) - 1
		if pos+n > len(h) {
			return false
		}
		t.lengths = h[pos : pos+n]
		pos += n
	}
	if t.ok = true; version >= 5 {
		t.names5(h, pos)
	} else {
		t.names(h, pos)
	}
	t.special()
	return true
}

// special computes what special opcodes do (6.2.5.1).
func (t *lineTable) special() {
	for op := range 256 {
		t.advance[op], t.advLine[op] = 0, 0
		if op >= int(t.opcodeBase) && t.lineRange != 0 {
			n := op - int(t.opcodeBase)
			t.advance[op] = int32(n / int(t.lineRange))
			t.advLine[op] = int32(t.lineBase) + int32(n%int(t.lineRange))
		}
	}
}

// names reads the lists of versions before 5. Their first index is 1.
func (t *lineTable) names(h []byte, pos int) {
	t.dirs = append(t.dirs, lineName{text: t.c.text(sCompDir)})
	for {
		s := cstring(h, uint64(pos))
		if pos = skipString(h, pos); len(s) == 0 || pos > len(h) || len(t.dirs) >= maxNames {
			break
		}
		t.dirs = append(t.dirs, lineName{text: s})
	}
	t.files = append(t.files, lineFile{lineName: lineName{text: t.c.text(sName)}})
	for len(t.files) < maxNames && pos <= len(h) {
		s := cstring(h, uint64(pos))
		if len(s) == 0 {
			break
		}
		f := lineFile{lineName: lineName{text: s}}
		f.dir, pos = uleb(h, skipString(h, pos))
		pos = skipLEB(h, skipLEB(h, pos)) // time and length
		t.files = append(t.files, f)
	}
}

// Content types of version 5 (7.22).
const (
	lnctPath      = 1
	lnctDirectory = 2
)

func (t *lineTable) names5(h []byte, pos int) {
	pos = t.list5(h, pos, func(f lineFile) { t.dirs = append(t.dirs, f.lineName) })
	t.list5(h, pos, func(f lineFile) { t.files = append(t.files, f) })
}

// list5 reads a list of directories or files.
func (t *lineTable) list5(h []byte, pos int, add func(lineFile)) int {
	if pos >= len(h) {
		return past(h)
	}
	type column struct {
		content uint64
		form    uint8
	}
	columns := make([]column, h[pos])
	pos++
	for i := range columns {
		var form uint64
		columns[i].content, pos = uleb(h, pos)
		form, pos = uleb(h, pos)
		columns[i].form = normalForm(form, t.sizes)
		if columns[i].form == 0 || columns[i].form == formIndirect {
			return past(h)
		}
	}
	count, pos := uleb(h, pos)
	for range min(count, maxNames) {
		start := pos
		var f lineFile
		for _, col := range columns {
			var a attr
			if a, pos = readForm(h, pos, attr{form: col.form}, t.sizes); pos > len(h) {
				return pos
			}
			switch {
			case col.content == lnctPath && a.form == formString:
				f.text = cstring(h, a.val)
			case col.content == lnctPath:
				f.attr = a
			case col.content == lnctDirectory:
				f.dir = a.val
			}
		}
		if pos == start {
			return past(h) // entries of no bytes
		}
		add(f)
	}
	return pos
}

// bytes returns the text of a name.
func (t *lineTable) bytes(n lineName) []byte {
	if n.text != nil || n.attr.form == 0 || n.attr.form == formString {
		return n.text
	}
	return t.c.str(n.attr)
}

// appendPath appends the path of a file: relative ones begin in the directory that
// the list gives, and that one in the unit's own. It appends nothing for no such
// file.
func (t *lineTable) appendPath(out []byte, file uint64) []byte {
	if file >= uint64(len(t.files)) {
		return out
	}
	f := t.files[file]
	name := t.bytes(f.lineName)
	if len(name) == 0 || name[0] == '/' || string(name) == "<autogenerated>" { // Go's, in no directory
		return append(out, name...)
	}
	var dir []byte
	if f.dir < uint64(len(t.dirs)) {
		dir = t.bytes(t.dirs[f.dir])
	}
	if (len(dir) == 0 || dir[0] != '/') && (f.dir != 0 || len(dir) == 0) {
		if comp := t.c.text(sCompDir); len(comp) > 0 {
			out = appendDir(out, comp)
		}
	}
	if len(dir) > 0 {
		out = appendDir(out, dir)
	}
	return append(out, name...)
}

func appendDir(dst, dir []byte) []byte {
	dst = append(dst, dir...)
	if dir[len(dir)-1] != '/' {
		dst = append(dst, '/')
	}
	return dst
}
