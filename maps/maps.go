// Package maps reads /proc/PID/maps: what lies where in an address space, and
// which of its entries is the gate DSO, the code that the kernel itself maps.
//
// Nothing here assumes the machine it runs on: a saved file of any CPU, word
// size or kernel since 2.6 reads the same.
package maps

// Perm is a set of access rights.
type Perm uint8

// The rights as the second field of a line shows them. A mapping without
// Shared is private: changes to it are its process's own.
const (
	Read Perm = 1 << iota
	Write
	Exec
	Shared
)

// String returns the rights as the kernel writes them: "r-xp".
func (p Perm) String() string {
	return string(p.append(nil))
}

func (p Perm) append(dst []byte) []byte {
	pick := func(bit Perm, set, clear byte) {
		if p&bit != 0 {
			dst = append(dst, set)
		} else {
			dst = append(dst, clear)
		}
	}
	pick(Read, 'r', '-')
	pick(Write, 'w', '-')
	pick(Exec, 'x', '-')
	pick(Shared, 's', 'p')
	return dst
}

// Mapping is one line of /proc/PID/maps: the addresses from Start up to but
// not including End.
type Mapping struct {
	Start, End uint64
	Perm       Perm
	Offset     uint64 // of Start in the file, in bytes
	Dev        uint64 // the file's device, major<<32 | minor
	Inode      uint64

	// Path is the name with the kernel's escapes undone: of the mapped file,
	// or of what else is there ("[heap]", "[anon:jit]", "anon_inode:…");
	// empty for anonymous memory. The text alone cannot tell a deleted file
	// x from an existing one that is really called "x (deleted)", nor, since
	// kernels have stopped escaping the backslash, a newline from the four
	// characters \012: what opens a file must check device and inode.
	Path    string
	Deleted bool // " (deleted)" followed the path: the name is gone

	// Padded is set for an empty Path that is preceded by the spaces that
	// line names up. The kernel pads no anonymous mapping, but it does pad
	// the gate line when no gate DSO is registered.
	Padded bool
}

// MakeDev returns the device number major:minor as Mapping.Dev holds it.
func MakeDev(major, minor uint32) uint64 { return uint64(major)<<32 | uint64(minor) }

// Major returns the major number of the file's device.
func (m *Mapping) Major() uint32 { return uint32(m.Dev >> 32) }

// Minor returns the minor number of the file's device.
func (m *Mapping) Minor() uint32 { return uint32(m.Dev) }

// Contains reports whether addr lies in the mapping.
func (m *Mapping) Contains(addr uint64) bool { return m.Start <= addr && addr < m.End }

// IsFile reports whether the mapping is backed by a file: it has an absolute
// path and an inode. The file may be deleted, a memfd or a device.
func (m *Mapping) IsFile() bool {
	return m.Inode != 0 && len(m.Path) > 0 && m.Path[0] == '/'
}

// special reports whether the mapping has one of the kernel's own names:
// [heap], [stack], [vdso], [anon:…], [uprobes] and their like.
func (m *Mapping) special() bool {
	return m.Inode == 0 && bracketed(m.Path)
}

func bracketed(s string) bool {
	return len(s) >= 2 && s[0] == '[' && s[len(s)-1] == ']'
}

// blank reports whether everything but the addresses and the name is zero, as
// it is in a gate line.
func (m *Mapping) blank() bool {
	return m.Perm == 0 && m.Offset == 0 && m.Dev == 0 && m.Inode == 0
}
