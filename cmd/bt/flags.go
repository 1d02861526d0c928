package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatedso/bt/internal/gate/store"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/symbolize"
)

// nameFlags are the flags of every command that names addresses.
func (a *app) nameFlags(f *pflag.FlagSet) {
	a.gateFlag(f)
	a.stateDirFlag(f)
	a.debugFlags(f)
	f.StringVar(&a.sysroot, "sysroot", "", "prefix for the files that the maps name")
	f.StringVar(&a.demangle, "demangle", "full", "C++ and Rust names: full, short (without parameters), or none")
}

// debugFlags say where separate debug files are.
func (a *app) debugFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&a.debugDirs, "debug-dir", "d", []string{debugfile.DefaultDir}, "where separate debug files are; may be repeated")
	f.StringVar(&a.debuginfod, "debuginfod", "", "download debug files from these servers, default $DEBUGINFOD_URLS; on when that is set")
	f.Lookup("debuginfod").NoOptDefVal = fromEnvironment
}

// columnFlags are the flags of every command that prints frames.
func (a *app) columnFlags(f *pflag.FlagSet) {
	f.BoolVarP(&a.module, "module", "m", false, "print the module of each address")
	f.BoolVarP(&a.buildID, "build-id", "b", false, "print the build ID of each address's module")
	f.BoolVarP(&a.source, "source", "s", false, "print the source file and line of each address; on for a terminal")
	f.BoolVarP(&a.inlines, "inlines", "i", false, "print inlined calls as lines of their own, with source lines; on for a terminal")
	f.BoolVar(&a.basenames, "basenames", false, "print only the last part of source paths")
	f.BoolVarP(&a.raw, "raw", "r", false, "addresses only, no symbols")
}

// stackFlags are the flags of every command that prints stacks.
func (a *app) stackFlags(f *pflag.FlagSet) {
	f.IntVarP(&a.maxFrames, "max-frames", "n", 256, "frames per thread; 0 = no limit")
}

// outputFlags say where output goes, and how.
func (a *app) outputFlags(f *pflag.FlagSet) {
	f.StringVarP(&a.output, "output", "o", "", "write to this file instead of standard output")
	f.StringVar(&a.color, "color", "auto", "auto, always or never")
	a.verboseFlag(f)
}

func (a *app) verboseFlag(f *pflag.FlagSet) {
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say on standard error where names and frames come from, and why some have none")
}

// gateFlag is --gate-dso.
func (a *app) gateFlag(f *pflag.FlagSet) {
	f.StringVar(&a.gateDSO, "gate-dso", "", "what names the gate DSO: a path, 'live' (the image in the process), or '' (nothing: raw addresses)")
}

// stateDirFlag is --state-dir.
func (a *app) stateDirFlag(f *pflag.FlagSet) {
	f.StringVar(&a.stateDir, "state-dir", "", "where registered gate images are, default $"+store.Env+", "+store.System+
		" for root, $XDG_STATE_HOME/bt/gate for others")
}

func (a *app) procfsFlag(f *pflag.FlagSet) {
	f.StringVar(&a.procfs, "procfs", "/proc", "where procfs is mounted")
}

// checkFlags refuses values of the flags above that mean nothing. It runs
// before every command.
func (a *app) checkFlags(cmd *cobra.Command, _ []string) error {
	f := cmd.Flags()
	a.gateSet = f.Changed("gate-dso")
	a.sourceSet = f.Changed("source")
	a.inlinesSet = f.Changed("inlines")
	var err error
	f.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "exe", "maps", "core", "procfs", "output", "state-dir", "dir", "log":
			if f.Value.String() == "" {
				err = usagef("--%s: the name is empty", f.Name)
			}
		}
	})
	if err != nil {
		return err
	}
	if a.maxFrames < 0 {
		return usagef("--max-frames %d: must not be negative", a.maxFrames)
	}
	switch a.color {
	case "auto", "always", "never":
	default:
		return usagef("--color %q: must be auto, always or never", a.color)
	}
	_, err = a.demangleMode()
	return err
}

// lines says whether source lines and inlined calls are printed: people at a
// terminal see them without asking.
func (a *app) lines() (source, inlines bool) {
	source, inlines = a.source, a.inlines
	screen := a.screen
	if screen == nil {
		screen = a.stdout
	}
	if a.output == "" && isTerminal(screen) && (!a.sourceSet || a.source) {
		source = true
		if !a.inlinesSet {
			inlines = true
		}
	}
	return source || inlines, inlines
}

func (a *app) demangleMode() (symbolize.Demangle, error) {
	switch a.demangle {
	case "full":
		return symbolize.Full, nil
	case "short":
		return symbolize.Short, nil
	case "none":
		return symbolize.None, nil
	}
	return 0, usagef("--demangle %q: must be full, short or none", a.demangle)
}
