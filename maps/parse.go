package maps

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// A line is, by fs/proc/task_mmu.c,
//
//	START-END PERM OFFSET MAJOR:MINOR INODE      PATH
//
// in hexadecimal but for the inode, with one space between the fields and at
// least two before a path.

var (
	errStart  = errors.New("no start address")
	errDash   = errors.New("no '-' after the start address")
	errEnd    = errors.New("no end address")
	errOrder  = errors.New("end address not above the start address")
	errPerm   = errors.New("no permissions after the addresses")
	errOffset = errors.New("no file offset after the permissions")
	errDev    = errors.New("no device after the file offset")
	errInode  = errors.New("no inode after the device")
	errTail   = errors.New("no space after the inode")
	errRange  = errors.New("number too large")
)

// ParseLine reads one line, given without its newline. The error says which
// field is at fault. Of the escapes it undoes \012 alone, which every kernel
// writes; the further ones of kernels before 2.6.12 are undone by New, which
// sees whether the file is from one.
func ParseLine(line []byte) (Mapping, error) {
	var m Mapping
	if err := m.parse(line, ""); err != nil {
		return Mapping{}, fmt.Errorf("maps line %.80q: %w", line, err)
	}
	return m, nil
}

// IsLine reports whether line starts like a line of /proc/PID/maps: two
// addresses and permissions. It does not check the rest.
func IsLine(line []byte) bool {
	_, i, err := hex(line, 0, errStart)
	if err != nil || i >= len(line) || line[i] != '-' {
		return false
	}
	_, i, err = hex(line, i+1, errEnd)
	if err != nil || i >= len(line) || line[i] != ' ' {
		return false
	}
	_, i, ok := perms(line, skip(line, i))
	return ok && (i == len(line) || line[i] == ' ')
}

// Parse reads a whole file. Empty lines are passed over; any other line that
// is none is an error that gives its number.
func Parse(b []byte) (*Map, error) {
	// A line without a path, the shortest, has some 30 characters.
	entries := make([]Mapping, 0, min(bytes.Count(b, []byte{'\n'})+1, len(b)/16+1))
	prev := ""
	for n := 1; len(b) > 0; n++ {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(line) == 0 {
			continue
		}
		entries = append(entries, Mapping{})
		m := &entries[len(entries)-1]
		if err := m.parse(line, prev); err != nil {
			return nil, fmt.Errorf("maps line %d, %.80q: %w", n, line, err)
		}
		if m.Path != "" {
			prev = m.Path
		}
	}
	return New(entries), nil
}

// parse fills m, which must be zero. A path equal to prev shares its memory:
// the segments of one file follow one another.
func (m *Mapping) parse(line []byte, prev string) (err error) {
	var i int
	if m.Start, i, err = hex(line, 0, errStart); err != nil {
		return err
	}
	if i >= len(line) || line[i] != '-' {
		return errDash
	}
	if m.End, i, err = hex(line, i+1, errEnd); err != nil {
		return err
	}
	if m.End <= m.Start {
		return errOrder
	}
	var ok bool
	if m.Perm, i, ok = perms(line, skip(line, i)); !ok {
		return errPerm
	}
	if m.Offset, i, err = hex(line, skip(line, i), errOffset); err != nil {
		return err
	}
	var major, minor uint64
	if major, i, err = hex(line, skip(line, i), errDev); err != nil {
		return err
	}
	if i >= len(line) || line[i] != ':' {
		return errDev
	}
	if minor, i, err = hex(line, i+1, errDev); err != nil {
		return err
	}
	if major>>32|minor>>32 != 0 {
		return errRange
	}
	m.Dev = major<<32 | minor
	if m.Inode, i, err = decimal(line, skip(line, i), errInode); err != nil {
		return err
	}
	name := skip(line, i)
	if name == i && i < len(line) {
		return errTail
	}
	if name == len(line) {
		m.Padded = name-i >= 2
		return nil
	}
	m.name(line[name:], prev)
	return nil
}

const deleted = " (deleted)"

// name sets Path and Deleted from the text at the end of a line.
func (m *Mapping) name(b []byte, prev string) {
	// The path of a gate line is printed as it is (seq_printf "%s", not
	// seq_path). Names in brackets are never deleted.
	plain := m.blank() || b[0] == '['
	if !plain && len(b) > len(deleted) && string(b[len(b)-len(deleted):]) == deleted {
		m.Deleted = true
		b = b[:len(b)-len(deleted)]
	}
	if string(b) == prev {
		m.Path = prev
		return
	}
	m.Path = string(b)
	if !plain && strings.IndexByte(m.Path, '\\') >= 0 {
		m.Path = strings.ReplaceAll(m.Path, `\012`, "\n")
	}
}

// oldEscapes undoes what seq_path of kernels before 2.6.12 escapes.
var oldEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// unescapeOld undoes in m the escapes that ParseLine leaves.
func (m *Mapping) unescapeOld() {
	if m.blank() || strings.IndexByte(m.Path, '\\') < 0 {
		return
	}
	m.Path = oldEscapes.Replace(m.Path)
	if len(m.Path) > len(deleted) && strings.HasSuffix(m.Path, deleted) {
		m.Deleted = true
		m.Path = m.Path[:len(m.Path)-len(deleted)]
	}
}

// skip returns the index of the first character from i on that is no space.
func skip(b []byte, i int) int {
	for i < len(b) && b[i] == ' ' {
		i++
	}
	return i
}

// hexDigit holds each hexadecimal digit's value plus one, 0 for all else.
var hexDigit = [256]uint8{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16,
}

// hex reads the number at b[i:] and returns the index behind it; missing is
// the error when there is none.
func hex(b []byte, i int, missing error) (uint64, int, error) {
	var v uint64
	start := i
	for ; i < len(b); i++ {
		d := hexDigit[b[i]]
		if d == 0 {
			break
		}
		if v>>60 != 0 {
			return 0, i, errRange
		}
		v = v<<4 | uint64(d-1)
	}
	if i == start {
		return 0, i, missing
	}
	return v, i, nil
}

func decimal(b []byte, i int, missing error) (uint64, int, error) {
	var v uint64
	start := i
	for ; i < len(b); i++ {
		d := uint64(b[i] - '0')
		if d > 9 {
			break
		}
		if v > (1<<64-1-d)/10 {
			return 0, i, errRange
		}
		v = v*10 + d
	}
	if i == start {
		return 0, i, missing
	}
	return v, i, nil
}

func perms(b []byte, i int) (p Perm, next int, ok bool) {
	if len(b)-i < 4 {
		return 0, i, false
	}
	f := b[i : i+4]
	set := func(c, yes, no byte, bit Perm) {
		if c == yes {
			p |= bit
		} else if c != no {
			ok = false
		}
	}
	ok = true
	set(f[0], 'r', '-', Read)
	set(f[1], 'w', '-', Write)
	set(f[2], 'x', '-', Exec)
	set(f[3], 's', 'p', Shared)
	return p, i + 4, ok
}
