//go:build linux

package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/text/annotate"
	"github.com/gatedso/bt/symbolize"
)

func (a *rootCommand) filterFlag(f *pflag.FlagSet) {
	f.BoolVar(&a.filter, "filter", false, "copy any text from standard input and name the addresses in it; without a target: by what the text tells")
}

// filterText names the addresses in a text.
func (a *rootCommand) filterText(cmd *cobra.Command, pids []int, addrs int) error {
	switch {
	case addrs > 0:
		return usagef("--filter reads standard input: it takes no addresses")
	case len(pids) > 1:
		return usagef("--filter: the addresses belong to one process: give --pid once")
	}
	for _, name := range []string{"tid", "max-frames", "max-pause", "group", "with-maps", "raw", "context", "waits", "kernel"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s means nothing with --filter", name)
		}
	}
	out, err := a.openOutput()
	if err != nil {
		return err
	}
	return out.end(a.runFilter(out, pids))
}

func (a *rootCommand) runFilter(out *output, pids []int) error {
	opts := a.textOptions(out)
	o := annotate.Options{
		Sysroot:         a.sysroot,
		Names:           a.textNames,
		Append:          opts.AppendNames,
		ReturnAddresses: a.returns,
	}
	space, closeTarget, err := a.openTarget(pids)
	if err != nil {
		return err
	}
	defer closeTarget()
	switch s := space.(type) {
	case *mappedSpace:
		o.Target = annotate.Space(s.space, s.Symbolizer)
	case *imageSpace:
		o.Target = annotate.Image(s.im, s.path, s.sym)
	}
	out.follow(a.stdin)
	in, stop := a.input(out)
	defer stop()
	return annotate.Run(in, out, o)
}

// textNames says how to name by files that a text names. What such a text says
// of a gate DSO is not believed: the flag alone sets one.
func (a *rootCommand) textNames() symbolize.Options {
	o := a.session().Names(nil)
	if a.set.Changed("gate-dso") {
		o.Gate = gate.Setting{Value: a.gateDSO, From: "--gate-dso"}
	}
	return o
}
