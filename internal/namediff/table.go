package namediff

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/escape"
)

// symbol is a line of readelf's, in an executable section.
type symbol struct {
	value, size uint64
	name        string // without version
	function    bool
	local       bool
}

// table is a symbol table as readelf prints it.
type table struct {
	label string   // "FILE .symtab"
	syms  []symbol // by value
	// reach is for each symbol the end of the one that ends last up to it.
	reach []uint64
	areas [][2]uint64 // executable sections
}

// readTables has readelf print the symbol tables of a file, full one first.
func readTables(path string) ([]*table, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var areas [][2]uint64
	exec1 := make(map[string]bool) // by section number
	for i, s := range f.Sections {
		if s.Flags&elf.SHF_EXECINSTR != 0 && s.Flags&elf.SHF_ALLOC != 0 && s.Size > 0 {
			areas = append(areas, [2]uint64{s.Addr, s.Addr + s.Size})
			exec1[strconv.Itoa(i)] = true
		}
	}
	cmd := exec.Command("readelf", "-W", "--syms", "--dyn-syms", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	byName := make(map[string]*table)
	var t *table
	seen := make(map[string]bool) // readelf prints .dynsym twice
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		if name, ok := strings.CutPrefix(sc.Text(), "Symbol table '"); ok {
			name, _, _ = strings.Cut(name, "'")
			t = nil
			if !seen[name] {
				t = &table{label: path + " " + name, areas: areas}
				byName[name], seen[name] = t, true
			}
			continue
		}
		if t == nil {
			continue
		}
		if s, ok := parseSymbol(sc.Text(), exec1); ok && t.area(s.value) != nil {
			t.syms = append(t.syms, s)
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("readelf %s: %w", path, err)
	}
	var tables []*table
	for _, name := range []string{".symtab", ".dynsym"} {
		if t := byName[name]; t != nil && len(t.syms) > 0 {
			t.sort()
			tables = append(tables, t)
		}
	}
	return tables, nil
}

var (
	row     = regexp.MustCompile(`^ *\d+: ([0-9a-f]+) +(\S+) +(\S+) +(\S+) +\S+ +(?:\[.*?\] +)?(\S+) (.+)$`)
	version = regexp.MustCompile(`^([^@]+)@@?[^@0-9].*$`)
)

// parseSymbol reads a line such as
//
//	Num:    Value          Size Type    Bind   Vis      Ndx Name
//	  5: 0000000000001000    16 FUNC    GLOBAL DEFAULT   12 kill@@GLIBC_2.2.5
func parseSymbol(line string, executable map[string]bool) (s symbol, ok bool) {
	m := row.FindStringSubmatch(line)
	if m == nil || !executable[m[5]] {
		return s, false
	}
	switch m[3] {
	case "FUNC", "IFUNC":
		s.function = true
	case "OBJECT", "NOTYPE":
	default:
		return s, false
	}
	s.local = m[4] == "LOCAL"
	s.value, _ = strconv.ParseUint(m[1], 16, 64)
	s.size, _ = strconv.ParseUint(m[2], 0, 64) // readelf prints large ones as 0x…
	s.name = clean(m[6])
	// The assembler's labels and annobin's marks are for no human.
	if s.local && !s.function && (strings.HasPrefix(s.name, ".L") || strings.HasPrefix(s.name, ".annobin_")) {
		return s, false
	}
	return s, true
}

// clean makes a name that a peer prints one that bt would print: without its
// version, and escaped.
func clean(name string) string {
	if v := version.FindStringSubmatch(name); v != nil {
		name = v[1]
	}
	return escape.Name(name)
}

func (t *table) sort() {
	slices.SortStableFunc(t.syms, func(a, b symbol) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	t.reach = make([]uint64, len(t.syms))
	end := uint64(0)
	for i, s := range t.syms {
		end = max(end, s.value+s.size)
		t.reach[i] = end
	}
}

func (t *table) area(addr uint64) *[2]uint64 {
	for i := range t.areas {
		if a := &t.areas[i]; addr >= a[0] && addr < a[1] {
			return a
		}
	}
	return nil
}

// at lists the symbols that start at addr.
func (t *table) at(addr uint64) []symbol {
	i := sort.Search(len(t.syms), func(i int) bool { return t.syms[i].value >= addr })
	j := i
	for j < len(t.syms) && t.syms[j].value == addr {
		j++
	}
	return t.syms[i:j]
}

// below returns how many symbols start at or below addr.
func (t *table) below(addr uint64) int {
	return sort.Search(len(t.syms), func(i int) bool { return t.syms[i].value > addr })
}

// covering lists the sized symbols that cover addr and start last.
func (t *table) covering(addr uint64) (out []symbol) {
	for i := t.below(addr) - 1; i >= 0 && t.reach[i] > addr; i-- {
		s := t.syms[i]
		if out != nil && s.value != out[0].value {
			break
		}
		if addr-s.value < s.size {
			out = append(out, s)
		}
	}
	return out
}

// nearest lists the symbols of addr's section that start last at or below addr.
func (t *table) nearest(addr uint64) []symbol {
	i := t.below(addr) - 1
	area := t.area(addr)
	if i < 0 || area == nil || t.syms[i].value < area[0] {
		return nil
	}
	return t.at(t.syms[i].value)
}

// sizeless lists the symbols without a size that reach to addr: no other symbol
// starts behind them, and they do not lie in a sized one.
func (t *table) sizeless(addr uint64) []symbol {
	near := t.nearest(addr)
	for _, s := range near {
		if s.size > 0 {
			return nil
		}
	}
	if len(near) > 0 && t.covering(near[0].value) != nil {
		return nil
	}
	return near
}
