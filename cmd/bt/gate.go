//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/gate/vdso"
)

const gateLong = `The gate DSO is the code that the kernel itself maps into every process: [vdso]
and [vsyscall]. Its image differs from kernel to kernel and from ABI to ABI.`

func newGateCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Show, dump and register the gate DSO: the code that the kernel maps into every process",
		Long:  gateLong,
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGateShow(a), newGateDump(a), newGateRegister(a), newGateUnregister(a))
	return cmd
}

// gateDump is bt gate dump.
type gateDump struct {
	*target
	pidFlag

	abi    string
	output string
	force  bool
}

func newGateDump(a *app) *cobra.Command {
	c := new(gateDump)
	cmd := &cobra.Command{
		Use:   "dump [--pid N] [--abi " + strings.Join(abiNames(), "|") + "] -o FILE",
		Short: "Write the gate DSO's image to an ELF file",
		Long: `Writes the image that the kernel maps as [vdso] to an ELF file: that of a
process, or, without --pid, that of an ABI, by default bt's own. The file appears
at once or not at all. A file that has these contents already is left alone; one
with others is replaced only with --force.`,
		Args: noArgs,
		Example: `  # The image of 32-bit processes, for a debugger
  bt gate dump --abi 32 -o vdso32.so`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.output == "" {
				return usagef("dump needs -o FILE (-o - is standard output)")
			}
			im, err := c.gateImage(cmd, c.abi)
			if err != nil {
				return err
			}
			return c.dump(im, c.force)
		},
	}
	c.target = newTarget(a, cmd)
	f := c.set
	c.pidFlag.register(cmd)
	f.StringVar(&c.abi, "abi", "", "which of the kernel's images: `ABI` is "+orList(abiNames())+"; default bt's own, or the process's")
	f.StringVarP(&c.output, "output", "o", "", "write to `FILE`; - is standard output")
	f.BoolVar(&c.force, "force", false, "replace a file that has other contents")
	c.procfsFlag()
	cmd.RegisterFlagCompletionFunc("abi", cobra.FixedCompletions(abiNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// gateImage gets the image that --pid and --abi ask for.
func (a *gateDump) gateImage(cmd *cobra.Command, name string) (*vdso.Image, error) {
	abi, err := parseABI(name)
	if err != nil {
		return nil, err
	}
	pid, err := a.one(cmd)
	if err != nil {
		return nil, err
	}
	switch {
	case pid == 0 && abi == "":
		return vdso.Own()
	case pid == 0:
		return vdso.ForABI(abi)
	}
	p, err := a.openProcess(pid)
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
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// dump writes an image to --output.
func (a *gateDump) dump(im *vdso.Image, force bool) error {
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
func (t *target) gateProblem(err error) {
	switch {
	case err == nil:
	case errors.Is(err, gate.ErrNotRegistered):
		if text := escape.Error(err); text != t.notRegistered {
			t.notRegistered = text
			t.errorf("%s", text)
		}
	default:
		t.incomplete("%v", err)
	}
}
