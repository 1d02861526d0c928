// Package all lists the CPUs that bt knows. A new CPU is one folder below arch
// and one line here.
package all

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
)

// All lists every CPU that bt unwinds.
var All = []*arch.Arch{
	amd64.Arch,
	i386.Arch,
}

// ForMachine returns the CPU with the ELF machine number m, or nil.
func ForMachine(m uint16) *arch.Arch {
	for _, a := range All {
		if a.Machine == m {
			return a
		}
	}
	return nil
}
