//go:build linux

package report

import (
	"github.com/gatedso/bt/internal/process/core"
	"github.com/gatedso/bt/maps"
)

// atSysinfoEhdr is AT_SYSINFO_EHDR (linux/auxvec.h): where the vDSO is.
const atSysinfoEhdr = 33

// isOf reports whether m can be the maps of the process whose core f is. They were
// read by its number, which another process may have got. Where each process's
// files lie is random: one that is not where the core has it tells of another
// process. What the core does not tell speaks for nothing.
func isOf(f *core.File, m *maps.Map) bool {
	for i := range f.Files {
		file := &f.Files[i]
		e := m.Find(file.Start)
		if e == nil || e.Offset+(file.Start-e.Start) != file.Offset {
			return false
		}
	}
	if at, ok := f.Auxv[atSysinfoEhdr]; ok && at != 0 && hasVDSO(m) {
		e := m.Find(at)
		return e != nil && m.GateOf(e) == maps.VDSO
	}
	return true
}

func hasVDSO(m *maps.Map) bool {
	for i := range m.Entries {
		if m.GateOf(&m.Entries[i]) == maps.VDSO {
			return true
		}
	}
	return false
}
