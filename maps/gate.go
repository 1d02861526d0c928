package maps

// Gate tells which form of the gate DSO an entry is.
type Gate uint8

const (
	NoGate   Gate = iota
	VDSO          // [vdso], or the file registered for it: an ELF image, at an address of its own in each process
	Vsyscall      // [vsyscall]: x86-64's fixed page with three entry points
	Line          // the gate line of a kernel with the gate_dso sysctl
)

// String returns "vdso", "vsyscall", "gate line" or "no gate".
func (g Gate) String() string {
	switch g {
	case VDSO:
		return "vdso"
	case Vsyscall:
		return "vsyscall"
	case Line:
		return "gate line"
	}
	return "no gate"
}

// GateOf tells whether e, an entry of m, is a gate and of which form.
//
// A gate line is the last line of the file; no right, offset, device or inode
// is set in it; and its path, which names the file that holds the gate DSO, is
// what the sysctl holds: anything, but not a name in brackets. Without a path
// it looks like a guard page. It is taken for a gate line when the kernel has
// padded the line as for a name, which it does for no anonymous mapping; or,
// where an editor has removed the padding, when it lies in the kernel's half
// of the addresses and the file shows no other gate. A wrong guess would do no
// harm, since an entry without a path names nothing.
func (m *Map) GateOf(e *Mapping) Gate {
	if g := named(e); g != NoGate {
		return g
	}
	if m.line >= 0 && *e == m.Entries[m.line] {
		return Line
	}
	return NoGate
}

// Gates returns the entries that are a gate, in the order of the file.
func (m *Map) Gates() []*Mapping {
	var gates []*Mapping
	for i := range m.Entries {
		if i == m.line || named(&m.Entries[i]) != NoGate {
			gates = append(gates, &m.Entries[i])
		}
	}
	return gates
}

// named returns the form of a gate that its name gives away.
func named(e *Mapping) Gate {
	if e.Inode == 0 {
		switch e.Path {
		case "[vdso]":
			return VDSO
		case "[vsyscall]":
			return Vsyscall
		}
		if e.isNamedVDSO() {
			return VDSO
		}
	}
	return NoGate
}

// isNamedVDSO reports whether e is a [vdso] whose name was replaced by that of
// the file that names it. Nothing else that is mapped has a path but no device:
// the numbers of devices without hardware begin at 1, since that of 0 would
// look like anonymous memory (fs/super.c, get_anon_bdev).
func (m *Mapping) isNamedVDSO() bool {
	return m.Perm == Read|Exec && m.Offset == 0 && m.Dev == 0 && m.Inode == 0 &&
		len(m.Path) > 0 && m.Path[0] == '/' && !m.Deleted
}

// isLine decides whether e, the last entry, is a gate line.
func (m *Map) isLine(e *Mapping) bool {
	if !e.blank() || bracketed(e.Path) {
		return false
	}
	if e.Path != "" || e.Padded {
		return true
	}
	// Bit 63 on 64-bit machines (ia64's gate is in region 5), the top
	// gigabyte on 32-bit ones.
	kernel := e.Start>>63 != 0 || e.Start>>32 == 0 && e.Start >= 0xc0000000
	for i := range m.Entries {
		if named(&m.Entries[i]) != NoGate {
			return false
		}
	}
	return kernel
}
