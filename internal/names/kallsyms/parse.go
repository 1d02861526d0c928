package kallsyms

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"math"
	"slices"
)

// maxSize bounds what is read of a list. Real ones have some 20 MB at most.
const maxSize = 256 << 20

// maxLine is above what a line can have: a name has up to 511 bytes
// (KSYM_NAME_LEN), a module's up to 55 (MODULE_NAME_LEN).
const maxLine = 4096

// Most kernels have fewer symbols than usual, with names of usualName bytes on
// average: with that much space nothing has to be moved while reading.
const (
	usual     = 200_000
	usualName = 28
)

var errTooLarge = errors.New("kernel symbol list is larger than 256 MiB")

// Parse reads a list in the form of /proc/kallsyms, or of a System.map. Lines of
// another form are left out.
func Parse(r io.Reader) (*Table, error) {
	p := parser{
		t:       &Table{entries: make([]entry, 0, usual), names: make([]byte, 1, usual*usualName), modules: []string{""}},
		modules: map[string]uint16{"": 0},
	}
	in := bufio.NewReaderSize(io.LimitReader(r, maxSize+1), max(64<<10, maxLine))
	for {
		line, err := in.ReadSlice('\n')
		p.read += len(line)
		switch {
		case p.read > maxSize:
			return nil, errTooLarge
		case err == bufio.ErrBufferFull:
			p.long = true
			continue
		case err != nil && err != io.EOF:
			return nil, err
		}
		if p.long {
			p.long = false // the end of a line that is too long to be one
		} else {
			p.line(bytes.TrimSuffix(line, newline))
		}
		if err == io.EOF {
			break
		}
	}
	return p.finish()
}

var newline = []byte("\n")

type parser struct {
	t       *Table
	modules map[string]uint16
	read    int
	long    bool // within a line that does not fit into the buffer
	zero    bool // there are symbols at 0
	nonzero bool // and elsewhere
}

// line takes in `ADDR TYPE NAME` or `ADDR TYPE NAME\t[MODULE]`.
func (p *parser) line(b []byte) {
	addr, n := hex(b)
	if n == 0 || len(b) < n+4 || b[n] != ' ' || b[n+2] != ' ' {
		return
	}
	if addr == 0 {
		p.zero = true
	} else {
		p.nonzero = true
	}
	// Below are per-CPU variables, which count from 0, and undefined weak
	// symbols.
	if !IsKernel(addr) {
		return
	}
	typ, name := b[n+1], b[n+3:]
	var module []byte
	if i := bytes.IndexByte(name, '\t'); i >= 0 {
		name, module = name[:i], name[i+1:]
		if len(module) < 2 || module[0] != '[' || module[len(module)-1] != ']' {
			return
		}
		module = module[1 : len(module)-1]
	}
	if len(name) == 0 || local(name) || bytes.IndexByte(name, 0) >= 0 {
		return
	}
	e := entry{start: addr}
	switch typ {
	case 'T':
		e.rank = 0
	case 'W', 'w':
		e.rank = 1
	case 't':
		e.rank = 2
	case 'a', 'A':
		return // a number, no place
	default:
		p.t.entries = append(p.t.entries, e) // data: a function ends here
		return
	}
	if !marker(name) {
		e.name = uint32(len(p.t.names))
		e.module = p.module(module)
		p.t.names = append(append(p.t.names, name...), 0)
	}
	p.t.entries = append(p.t.entries, e)
}

// module returns the number of a module. A kernel has some hundreds; what comes
// after 65535 counts as the kernel proper.
func (p *parser) module(name []byte) uint16 {
	if n, ok := p.modules[string(name)]; ok {
		return n
	}
	n := len(p.t.modules)
	if n > math.MaxUint16 {
		return 0
	}
	p.t.modules = append(p.t.modules, string(name))
	p.modules[string(name)] = uint16(n)
	return uint16(n)
}

// local reports whether a name is an assembler's: mapping symbols ($x, $d, …)
// and local labels, which neither name nor end anything.
func local(name []byte) bool {
	return name[0] == '$' || name[0] == '.' && len(name) > 1 && name[1] == 'L'
}

// marker reports whether a name is one of those by which the kernel's linker
// script (arch/*/kernel/vmlinux.lds.S, include/asm-generic/vmlinux.lds.h) marks
// where a section begins or ends. They are no functions, but what precedes them
// ends there: nothing reaches beyond _etext.
func marker(name []byte) bool {
	if name[0] != '_' {
		return false
	}
	name = bytes.TrimPrefix(name, pi)
	switch string(name) {
	case "_text", "_stext", "_etext", "_sinittext", "_einittext", "_exittext", "_end":
		return true
	}
	return bytes.HasPrefix(name, dunder) && (bytes.HasSuffix(name, textStart) || bytes.HasSuffix(name, textEnd))
}

var (
	pi        = []byte("__pi_") // another name of the same, for code that runs before relocation
	dunder    = []byte("__")
	textStart = []byte("_text_start")
	textEnd   = []byte("_text_end")
)

// finish sorts the symbols and leaves one for each address: a function rather
// than data, then by better.
func (p *parser) finish() (*Table, error) {
	t := p.t
	t.sort()
	n, functions := 0, 0
	for i := 0; i < len(t.entries); {
		best := t.entries[i]
		for i++; i < len(t.entries) && t.entries[i].start == best.start; i++ {
			if t.better(&t.entries[i], &best) {
				best = t.entries[i]
			}
		}
		if best.name != 0 {
			functions++
		} else if n == 0 || t.entries[n-1].name == 0 {
			continue // no function ends here
		}
		t.entries[n] = best
		n++
	}
	t.entries = t.entries[:n]
	if functions == 0 {
		if p.zero && !p.nonzero {
			return nil, ErrHidden
		}
		return nil, ErrEmpty
	}
	return t, nil
}

// sort sorts the entries by start, those of one start in the order of the list.
func (t *Table) sort() {
	order := func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.name, b.name))
	}
	// The kernel proper comes sorted, modules do not, but lie above.
	sorted := 1
	for sorted < len(t.entries) && t.entries[sorted-1].start <= t.entries[sorted].start {
		sorted++
	}
	if sorted >= len(t.entries) {
		return
	}
	slices.SortFunc(t.entries[sorted:], order)
	if t.entries[sorted-1].start > t.entries[sorted].start {
		slices.SortFunc(t.entries, order)
	}
}

// better orders symbols of one address by the rule of package elfsym: global
// before weak before local, fewer leading underscores, the shorter name, the
// first one.
func (t *Table) better(a, b *entry) bool {
	if a.name == 0 || b.name == 0 {
		return a.name != 0 && b.name == 0
	}
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	na, nb := t.name(a.name), t.name(b.name)
	if ua, ub := underscores(na), underscores(nb); ua != ub {
		return ua < ub
	}
	return len(na) < len(nb)
}

func underscores(name []byte) int {
	return len(name) - len(bytes.TrimLeft(name, "_"))
}

// hex reads a number at the start of b, and returns how many digits it has;
// none if it has more than 16.
func hex(b []byte) (v uint64, n int) {
	for ; n < len(b); n++ {
		c := b[n]
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			return v, n
		}
		if n == 16 {
			return 0, 0
		}
		v = v<<4 | uint64(c)
	}
	return v, n
}
