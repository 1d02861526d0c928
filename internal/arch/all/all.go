// Package all lists the CPUs whose stacks bt unwinds. A new one is a folder below
// arch and a line here.
package all

import (
	"debug/elf"
	"runtime"
	"slices"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/arm"
	"github.com/gatedso/bt/internal/arch/arm64"
	"github.com/gatedso/bt/internal/arch/i386"
)

// cpus is never changed.
var cpus = [...]*arch.Arch{
	amd64.Arch,
	i386.Arch,
	arm64.Arch,
	arm.Arch,
}

// List returns every CPU that bt unwinds.
func List() []*arch.Arch { return slices.Clone(cpus[:]) }

// For returns the CPU that ELF files of a machine and class run on, nil if bt
// does not unwind it.
func For(machine elf.Machine, class elf.Class) *arch.Arch {
	for _, a := range cpus {
		if a.Machine == machine && a.Class == class {
			return a
		}
	}
	return nil
}

// Native returns those whose programs this machine's kernel runs: the CPUs that
// a live process can be of.
func Native() []*arch.Arch {
	return slices.DeleteFunc(List(), func(a *arch.Arch) bool { return !slices.Contains(a.Hosts, runtime.GOARCH) })
}
