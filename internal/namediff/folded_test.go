package namediff

import (
	"debug/dwarf"
	"debug/elf"
	"io"
	"slices"
	"sort"
	"strings"
	"testing"
)

// described is all that a file's debug information says of its code, as Go's debug/dwarf
// reads it. Where the linker has folded functions with the same code into one, several
// functions and sequences of lines describe the same addresses, all of them rightly, and
// each tool takes another one's word.
type described struct {
	data      *dwarf.Data
	functions []function
	sequences []sequence
	origins   map[dwarf.Offset]string
}

// function is one that is not inlined, with the calls that are inlined into it.
type function struct {
	ranges [][2]uint64
	calls  []function
	line   int    // of the call
	name   string // of what is inlined
}

// sequence is one of a line table.
type sequence struct {
	rows []dwarf.LineEntry
	end  uint64
}

func describe(t *testing.T, path string) *described {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := &described{origins: make(map[dwarf.Offset]string)}
	if d.data, err = f.DWARF(); err != nil {
		t.Fatal(err)
	}
	r := d.data.Reader()
	for {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			return d
		}
		if e.Tag != dwarf.TagCompileUnit {
			r.SkipChildren()
			continue
		}
		d.lines(t, e)
		if e.Children {
			d.children(t, r, nil)
		}
	}
}

// lines reads the line table of a unit.
func (d *described) lines(t *testing.T, unit *dwarf.Entry) {
	t.Helper()
	lr, err := d.data.LineReader(unit)
	if err != nil || lr == nil {
		t.Fatal(err)
	}
	var s sequence
	for {
		var row dwarf.LineEntry
		switch err := lr.Next(&row); {
		case err == io.EOF:
			return
		case err != nil:
			t.Fatal(err)
		}
		if row.EndSequence {
			s.end = row.Address
			d.sequences = append(d.sequences, s)
			s = sequence{}
			continue
		}
		s.rows = append(s.rows, row)
	}
}

// children reads the functions below an entry; those that are inlined are appended to
// those of around.
func (d *described) children(t *testing.T, r *dwarf.Reader, around *function) {
	t.Helper()
	for {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil || e.Tag == 0 {
			return
		}
		in := around
		var f function
		switch e.Tag {
		case dwarf.TagSubprogram, dwarf.TagInlinedSubroutine:
			f.ranges, _ = d.data.Ranges(e)
			if line, ok := e.Val(dwarf.AttrCallLine).(int64); ok {
				f.line = int(line)
			}
			f.name = d.name(e, 0)
			in = &f
		}
		if e.Children {
			d.children(t, r, in)
		}
		switch {
		case e.Tag == dwarf.TagSubprogram && len(f.ranges) > 0:
			d.functions = append(d.functions, f)
		case e.Tag == dwarf.TagInlinedSubroutine && around != nil:
			around.calls = append(around.calls, f)
		}
	}
}

// name returns the linkage name of a function, or its name.
func (d *described) name(e *dwarf.Entry, depth int) string {
	if n, ok := e.Val(dwarf.AttrLinkageName).(string); ok {
		return n
	}
	for _, attr := range []dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
		off, ok := e.Val(attr).(dwarf.Offset)
		if !ok || depth > 8 {
			continue
		}
		name, known := d.origins[off]
		if !known {
			r := d.data.Reader()
			r.Seek(off)
			if o, err := r.Next(); err == nil && o != nil {
				name = d.name(o, depth+1)
			}
			d.origins[off] = name
		}
		if name != "" {
			return name
		}
	}
	n, _ := e.Val(dwarf.AttrName).(string)
	return n
}

func covers(ranges [][2]uint64, addr uint64) bool {
	return slices.ContainsFunc(ranges, func(r [2]uint64) bool { return addr >= r[0] && addr < r[1] })
}

// folded reports whether several functions, or several sequences of lines, describe an
// address.
func (d *described) folded(addr uint64) bool {
	functions, sequences := 0, 0
	for i := range d.functions {
		if covers(d.functions[i].ranges, addr) {
			functions++
		}
	}
	for _, s := range d.sequences {
		if len(s.rows) > 0 && addr >= s.rows[0].Address && addr < s.end {
			sequences++
		}
	}
	return functions > 1 || sequences > 1
}

// says reports whether answer is one of those that the debug information holds for an
// address: its line is that of a row, and its inlined calls are those of a function.
func (d *described) says(addr uint64, answer []place) bool {
	return len(answer) > 0 && d.hasRow(addr, answer[0]) && slices.ContainsFunc(d.functions, func(f function) bool {
		return covers(f.ranges, addr) && f.chain(addr, answer)
	})
}

func (d *described) hasRow(addr uint64, p place) bool {
	return slices.ContainsFunc(d.sequences, func(s sequence) bool {
		if len(s.rows) == 0 || addr < s.rows[0].Address || addr >= s.end {
			return false
		}
		i := sort.Search(len(s.rows), func(i int) bool { return s.rows[i].Address > addr }) - 1
		return s.rows[i].Line == p.line && s.rows[i].Column == p.col && base(s.rows[i].File.Name) == base(p.file)
	})
}

// chain reports whether answer, innermost first, are the calls that are inlined into f at
// an address, and f.
func (f *function) chain(addr uint64, answer []place) bool {
	last := len(answer) - 1
	for i := range f.calls {
		c := &f.calls[i]
		if !covers(c.ranges, addr) {
			continue
		}
		if last > 0 && answer[last].line == c.line && c.chain(addr, answer[:last]) &&
			(answer[last-1].name == c.name || strings.HasSuffix(answer[last-1].name, "::"+c.name)) {
			return true
		}
	}
	return last == 0 && !slices.ContainsFunc(f.calls, func(c function) bool { return covers(c.ranges, addr) })
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
