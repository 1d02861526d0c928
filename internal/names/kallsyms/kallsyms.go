// Package kallsyms names addresses in kernel space by /proc/kallsyms, modules
// and BPF programs included.
package kallsyms

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"unsafe"

	"github.com/gatedso/bt/internal/arch"
)

// ErrHidden is the error for a list in which every address is zero. The kernel
// shows them to whoever has CAP_SYSLOG, and to everybody where both sysctls
// allow it (kallsyms_show_value in kernel/ksyms_common.c); kptr_restrict=2
// hides them from root as well.
var ErrHidden = errors.New("kernel addresses are hidden: run as root, or sysctl kernel.kptr_restrict=0 kernel.perf_event_paranoid=1")

// ErrEmpty is the error for a list that has no function of a 64-bit kernel.
var ErrEmpty = errors.New("no kernel symbols")

// maxReach is how far a symbol reaches at most. The list has no sizes: a symbol
// ends where the next one begins, but behind the last one of a module or of a
// BPF program there may be a gap of gigabytes.
const maxReach = 1 << 20

// IsKernel reports whether addr is in the half of a 64-bit address space that
// belongs to the kernel. The page [vsyscall] lies there, too, but is the
// processes' own. Kernels that do not take the upper half (s390x,
// sparc64) and 32-bit ones are not known here.
func IsKernel(addr uint64) bool {
	return addr>>63 != 0 && (addr < arch.VsyscallStart || addr >= arch.VsyscallEnd)
}

// Symbol is a symbol of the kernel that names an address.
type Symbol struct {
	Name   string
	Start  uint64
	Module string // "" for the kernel proper; "bpf" for BPF programs
}

// Table holds the functions of a kernel. It never changes: any number of
// goroutines may use it.
type Table struct {
	entries []entry  // by start, all different
	names   []byte   // each ends in a NUL; the first one is empty
	modules []string // the first one is ""
}

// entry is a function, or the end of one.
type entry struct {
	start  uint64
	name   uint32 // place in names; 0 where no function is
	module uint16
	rank   uint8
}

// Open reads the list of the running kernel. procfs is where procfs is mounted.
func Open(procfs string) (*Table, error) {
	path := filepath.Join(procfs, "kallsyms")
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Len returns the number of functions.
func (t *Table) Len() int {
	n := 0
	for _, e := range t.entries {
		if e.name != 0 {
			n++
		}
	}
	return n
}

// Lookup finds the function that holds addr. It allocates nothing.
func (t *Table) Lookup(addr uint64) (Symbol, bool) {
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].start > addr }) - 1
	if i < 0 || !IsKernel(addr) {
		return Symbol{}, false
	}
	e := &t.entries[i]
	if e.name == 0 || addr-e.start >= maxReach {
		return Symbol{}, false
	}
	name := t.name(e.name)
	// names is never written to again.
	return Symbol{unsafe.String(unsafe.SliceData(name), len(name)), e.start, t.modules[e.module]}, true
}

// name returns the name at a place in names.
func (t *Table) name(at uint32) []byte {
	b := t.names[at:]
	return b[:bytes.IndexByte(b, 0)]
}
