package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/gate/vdso"
	"github.com/gatedso/bt/internal/process/live"
)

const gateLong = `The gate DSO is the code that the kernel itself maps into every process: [vdso]
and [vsyscall]. Its image differs from kernel to kernel and from ABI to ABI.`

func (a *app) gateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Show, dump and register the gate DSO: the code that the kernel maps into every process",
		Long:  gateLong,
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.gateShowCommand(), a.gateDumpCommand(), a.gateRegisterCommand(), a.gateUnregisterCommand())
	return cmd
}

// gateFlags are the flags of the gate commands that read an image.
type gateFlags struct {
	abi   string
	force bool
}

func (a *app) gateDumpCommand() *cobra.Command {
	var g gateFlags
	cmd := &cobra.Command{
		Use:   "dump [--pid N] [--abi " + strings.Join(abiNames(), "|") + "] -o FILE",
		Short: "Write the gate DSO's image to an ELF file",
		Long: `Writes the image that the kernel maps as [vdso] to an ELF file: that of a
process, or, without --pid, that of an ABI, by default bt's own. The file appears
at once or not at all. A file that has these contents already is left alone; one
with others is replaced only with --force.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.output == "" {
				return usagef("dump needs -o FILE (-o - is standard output)")
			}
			im, err := a.gateImage(cmd, g.abi)
			if err != nil {
				return err
			}
			return a.dump(im, g.force)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	a.pidFlag(cmd)
	f.StringVar(&g.abi, "abi", "", "which of the kernel's images: "+orList(abiNames())+"; default bt's own, or the process's")
	f.StringVarP(&a.output, "output", "o", "", "the file to write; - is standard output")
	f.BoolVar(&g.force, "force", false, "replace a file that has other contents")
	a.procfsFlag(f)
	return cmd
}

// pidFlag is --pid of the commands that look at one process.
func (a *app) pidFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&a.pids, "pid", "p", nil, "the process to look at")
}

// onePID returns the process that --pid names, 0 when it is not given.
func (a *app) onePID(cmd *cobra.Command) (int, error) {
	pids, err := parseIDs("--pid", a.pids)
	switch {
	case err != nil:
		return 0, err
	case len(pids) == 1:
		return pids[0], nil
	case len(pids) > 1:
		return 0, usagef("--pid: %s looks at one process", cmd.CommandPath())
	case cmd.Flags().Changed("pid"):
		return 0, usagef("--pid has no number")
	}
	return 0, nil
}

// gateImage gets the image that --pid and --abi ask for.
func (a *app) gateImage(cmd *cobra.Command, name string) (*vdso.Image, error) {
	abi, err := parseABI(name)
	if err != nil {
		return nil, err
	}
	pid, err := a.onePID(cmd)
	if err != nil {
		return nil, err
	}
	switch {
	case pid == 0 && abi == "":
		return vdso.Own()
	case pid == 0:
		return vdso.ForABI(abi)
	}
	p, err := live.Open(pid, a.procfs)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	im, err := vdso.FromProcess(p, fmt.Sprintf("process %d", p.PID))
	if err == nil && abi != "" && im.ABI() != abi {
		return nil, fmt.Errorf("process %d has the %s image, not the %s one: leave out --abi, or --pid", p.PID, im.ABI(), abi)
	}
	return im, err
}

func parseABI(name string) (vdso.ABI, error) {
	if name == "" {
		return "", nil
	}
	for _, abi := range vdso.ABIs() {
		if string(abi) == name {
			return abi, nil
		}
	}
	return "", usagef("--abi %q: must be one of %s", name, strings.Join(abiNames(), ", "))
}

func abiNames() (names []string) {
	for _, abi := range vdso.ABIs() {
		names = append(names, string(abi))
	}
	return names
}

// orList is "a, b or c".
func orList(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// dump writes an image to --output.
func (a *app) dump(im *vdso.Image, force bool) error {
	if a.output == "-" {
		if isTerminal(a.stdout) {
			return usagef("-o -: an ELF file is nothing for a terminal")
		}
		_, err := a.stdout.Write(im.File)
		return err
	}
	_, err := vdso.Write(a.output, im.File, 0o666, force)
	if errors.Is(err, vdso.ErrExists) {
		return fmt.Errorf("%w: give another name, or --force", err)
	}
	return err
}

// gateProblem says what is wrong with the setting of the gate DSO. An image
// that is merely not registered leaves nothing out, and is said once.
func (a *app) gateProblem(err error) {
	switch {
	case err == nil || a.raw:
	case errors.Is(err, gate.ErrNotRegistered):
		if text := err.Error(); text != a.notRegistered {
			a.notRegistered = text
			a.errorf("%s", text)
		}
	default:
		a.incomplete("%v", err)
	}
}
