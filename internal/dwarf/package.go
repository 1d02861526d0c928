package dwarf

import (
	"slices"
	"sync"
)

// Package is a DWARF package (.dwp): split units of many files, and an index that
// tells the part of each section that belongs to a unit (7.3.5; version 2 of the
// index is GNU's, for DWARF 4). It is safe for concurrent use.
type Package struct {
	s   Sections
	o   Options
	big bool

	slots   []byte // signatures, then rows
	nslots  int    // a power of two
	columns []int  // what each column is for: a section's number, see columnOf
	offsets []byte // one row after the other
	lengths []byte
	rows    int

	mu    sync.Mutex
	units map[uint64]*Data
}

// maxColumns bounds the sections of an index, of which there are eight.
const maxColumns = 16

// NewPackage reads .debug_cu_index. s are the package's sections, without their
// suffix. It returns nil for an index that is malformed, or of an unknown version.
func NewPackage(index []byte, s Sections, o Options) *Package {
	p := &Package{s: s, o: o, big: o.BigEndian, units: make(map[uint64]*Data)}
	ok := false
	if !protect(func() { ok = p.read(index) }) || !ok {
		return nil
	}
	return p
}

// read takes in the index. Version 2 has its number in four bytes, version 5 in two
// and two of padding.
func (p *Package) read(b []byte) bool {
	const header = 16
	if len(b) < header {
		return false
	}
	version, _ := fixed(b, 0, 4, p.big)
	half, _ := fixed(b, 0, 2, p.big)
	if version != 2 && half != 5 {
		return false
	}
	columns, _ := fixed(b, 4, 4, p.big)
	rows, _ := fixed(b, 8, 4, p.big)
	slots, _ := fixed(b, 12, 4, p.big)
	if columns == 0 || columns > maxColumns || slots == 0 || slots&(slots-1) != 0 || rows > slots {
		return false
	}
	b = b[header:]
	table := rows * columns * 4
	if slots*12+columns*4+2*table > uint64(len(b)) {
		return false
	}
	p.slots, b = b[:slots*12], b[slots*12:]
	p.nslots, p.rows = int(slots), int(rows)
	for i := range int(columns) {
		n, _ := fixed(b, 4*i, 4, p.big)
		p.columns = append(p.columns, int(min(n, 1<<16)))
	}
	b = b[4*columns:]
	p.offsets, p.lengths = b[:table], b[table:2*table]
	return true
}

// row returns the row of a unit, from 0; -1 if the package does not have it.
func (p *Package) row(id uint64) int {
	mask := uint64(p.nslots - 1)
	at, step := id&mask, id>>32&mask|1
	for range p.nslots {
		sig, _ := fixed(p.slots, int(at)*8, 8, p.big)
		row, _ := fixed(p.slots, p.nslots*8+int(at)*4, 4, p.big)
		switch {
		case row == 0:
			return -1
		case sig == id && row <= uint64(p.rows):
			return int(row) - 1
		}
		at = (at + step) & mask
	}
	return -1
}

// Numbers of sections in an index that are the same in both versions; 8 is
// .debug_rnglists in version 5.
const (
	dwSectInfo       = 1
	dwSectAbbrev     = 3
	dwSectLine       = 4
	dwSectStrOffsets = 6
	dwSectRngLists   = 8
)

// Unit returns the unit with that ID, nil if the package does not have it.
func (p *Package) Unit(id uint64) *Data {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, known := p.units[id]
	if known {
		return d
	}
	protect(func() {
		if row := p.row(id); row >= 0 {
			d = p.unit(row)
		}
	})
	if len(p.units) >= maxSplit {
		clear(p.units)
	}
	p.units[id] = d
	return d
}

// unit makes the unit of a row: its offsets count from the parts that are its own.
func (p *Package) unit(row int) *Data {
	s := p.s
	for column, section := range p.columns {
		var of *[]byte
		switch section {
		case dwSectInfo:
			of = &s.Info
		case dwSectAbbrev:
			of = &s.Abbrev
		case dwSectLine:
			of = &s.Line
		case dwSectStrOffsets:
			of = &s.StrOffsets
		case dwSectRngLists:
			of = &s.RngLists
		default:
			continue
		}
		at := 4 * (row*len(p.columns) + column)
		off, _ := fixed(p.offsets, at, 4, p.big)
		n, _ := fixed(p.lengths, at, 4, p.big)
		if off > uint64(len(*of)) || n > uint64(len(*of))-off {
			return nil
		}
		*of = (*of)[off : off+n : off+n]
	}
	if !slices.Contains(p.columns, dwSectInfo) || !slices.Contains(p.columns, dwSectAbbrev) {
		return nil
	}
	return New(s, p.o)
}
