//go:build linux

package main

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/gate/store"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/session"
)

// target is what every command has that looks at processes or files: where these
// are, what names addresses, and the session. A command registers the flags that
// it has; the others keep their defaults.
type target struct {
	*app
	set *pflag.FlagSet // of the command

	procfs     string
	sysroot    string
	stateDir   string
	gateDSO    string
	debugDirs  []string
	debuginfod string
	demangle   string

	source  func() bool // whether source lines are wanted; nil: they are not
	context int         // --context: lines of the source around each place
	sharing sync.Once
	shared  *session.Session
	refused sync.Map // the paths of files that bt may not open, once it was said
}

func newTarget(a *app, cmd *cobra.Command) *target {
	f := cmd.Flags()
	f.SortFlags = false
	return &target{app: a, set: f, procfs: "/proc", debugDirs: []string{debugfile.DefaultDir}, demangle: demangleFull}
}

// nameFlags are the flags of every command that names addresses.
func (t *target) nameFlags(cmd *cobra.Command) {
	t.gateFlag()
	t.stateDirFlag()
	t.debugFlags()
	t.set.StringVar(&t.sysroot, "sysroot", "", "look for the files that the maps name below `DIR`")
	choiceFlag(cmd, &t.demangle, "demangle", "", []string{demangleFull, demangleShort, demangleNone}, "C++ and Rust names: `STYLE` is full, short (without parameters), or none")
}

// debugFlags say where separate debug files are.
func (t *target) debugFlags() {
	t.set.StringArrayVarP(&t.debugDirs, "debug-dir", "d", t.debugDirs, "separate debug files are below `DIR`; may be repeated")
	t.set.StringVar(&t.debuginfod, "debuginfod", "", "download debug files from the servers `URLS`, default $DEBUGINFOD_URLS; on when that is set")
	note(t.set, "debug-dir", noteFiles, debugfile.DefaultDir, "separate debug files, by build ID and by the names that programs give them")
	note(t.set, "debuginfod", noteEnvironment, fromEnvironment, "the servers of debug files, as for debuginfod-find(1)")
	note(t.set, "debuginfod", noteEnvironment, "DEBUGINFOD_CACHE_PATH", "the directory that keeps what was downloaded; default ~/.cache/debuginfod_client")
	t.set.Lookup("debuginfod").NoOptDefVal = fromEnvironment
}

// gateFlag is --gate-dso.
func (t *target) gateFlag() {
	t.set.StringVar(&t.gateDSO, "gate-dso", "", "what names the gate DSO: `FILE`, 'live' (the image in the process), or '' (nothing: raw addresses)")
	note(t.set, "gate-dso", noteEnvironment, gate.Env, "what names the gate DSO where --gate-dso is not given")
	note(t.set, "gate-dso", noteFiles, "/proc/sys/kernel/gate_dso", "what names the gate DSO where neither is given, and the kernel has it")
}

// stateDirFlag is --state-dir.
func (t *target) stateDirFlag() {
	t.set.StringVar(&t.stateDir, "state-dir", "", "registered gate images are in `DIR`, default $"+store.Env+", "+store.System+
		" for root, $XDG_STATE_HOME/bt/gate for others")
	note(t.set, "state-dir", noteEnvironment, store.Env, "the directory of registered gate images where --state-dir is not given")
	note(t.set, "state-dir", noteFiles, store.System, "the gate images that root has registered")
}

func (t *target) procfsFlag() { procfsFlag(t.set, &t.procfs) }

func procfsFlag(f *pflag.FlagSet, procfs *string) {
	f.StringVar(procfs, "procfs", "/proc", "procfs is mounted at `DIR`")
}

func (a *app) verboseFlag(f *pflag.FlagSet) {
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say on standard error where names and frames come from, and why some have none")
}

// view is what the commands have that print stacks.
type view struct {
	*target
	screen *os.File // where the output goes without --output

	maxFrames int
	maxPause  time.Duration
	withMaps  bool

	module    bool
	buildID   bool
	lineFlag  bool // --source
	inlines   bool
	basenames bool
	group     bool
	native    bool
	waits     bool
	kernel    bool
	brief     bool
	raw       bool

	format string
	output string
	color  string
}

func newView(a *app, cmd *cobra.Command, screen *os.File) *view {
	v := &view{target: newTarget(a, cmd), screen: screen, format: formatText}
	v.source = func() bool {
		source, _ := v.lines()
		return source
	}
	return v
}

// columnFlags are the flags of every command that prints frames.
func (v *view) columnFlags() {
	v.set.BoolVarP(&v.module, "module", "m", false, "print the module of each address")
	v.set.BoolVarP(&v.buildID, "build-id", "b", false, "print the build ID of each address's module")
	v.set.BoolVarP(&v.lineFlag, "source", "s", false, "print the source file and line of each address; on for a terminal, and in all formats but text")
	v.set.BoolVarP(&v.inlines, "inlines", "i", false, "print inlined calls as lines of their own, with source lines; on for a terminal, and in all formats but text")
	v.set.BoolVar(&v.basenames, "basenames", false, "print only the last part of source paths")
	v.set.Var((*count)(&v.context), "context", "print `N` lines of the source before each line, and behind it, where it can be read; with source lines")
	v.set.BoolVarP(&v.raw, "raw", "r", false, "addresses only, no symbols")
}

// stackFlags are the flags of every command that prints stacks.
func (v *view) stackFlags() {
	v.framesFlags()
	v.set.BoolVar(&v.waits, "waits", false, "say what each sleeping thread waits for and who holds that, and name deadlocks; on for a terminal")
	v.set.BoolVar(&v.kernel, "kernel", false, "print the threads' stacks inside the kernel, which takes root")
	v.briefFlag()
	v.set.BoolVar(&v.group, "group", false, "print stacks that are alike once, and frames that recur")
}

// framesFlags say which frames are taken.
func (v *view) framesFlags() {
	v.maxFrames = 256
	v.set.VarP((*count)(&v.maxFrames), "max-frames", "n", "print at most `N` frames per thread; 0 = no limit")
	v.set.BoolVar(&v.native, "native", false, "no frames of language runtimes (Python, JavaScript, Java), and no goroutines")
}

// briefFlag is --brief.
func (v *view) briefFlag() {
	v.set.BoolVar(&v.brief, "brief", false, "leave out the native frames that are a language runtime's own")
}

// outputFlags say where output goes, and how.
func (v *view) outputFlags(cmd *cobra.Command) {
	v.set.StringVarP(&v.output, "output", "o", "", "write to `FILE` instead of standard output")
	v.color = "auto"
	choiceFlag(cmd, &v.color, "color", "", []string{"auto", "always", "never"}, "colours: `WHEN` is auto, always or never")
	note(v.set, "color", noteEnvironment, "NO_COLOR", "no colours, unless --color is always")
	note(v.set, "color", noteEnvironment, "TERM", "the terminal; no colours where it is dumb")
	v.verboseFlag(v.set)
}

// wantsWaits says whether it is told what threads wait for: people at a terminal see it
// without asking.
func (v *view) wantsWaits() bool {
	if v.set.Changed("waits") {
		return v.waits
	}
	return v.output == "" && !v.raw && isTerminal(v.screen)
}

// lines says whether source lines and inlined calls are printed: people at a
// terminal see them without asking, and so do the readers of formats that have a
// place for them.
func (v *view) lines() (source, inlines bool) {
	source, inlines = v.lineFlag || v.set.Changed("context"), v.inlines
	reader := v.format != formatText || v.output == "" && isTerminal(v.screen)
	if reader && (!v.set.Changed("source") || v.lineFlag) {
		source = true
		if !v.set.Changed("inlines") {
			inlines = true
		}
	}
	return source || inlines, inlines
}

// checkColumns refuses what --raw leaves no room for, and a context without lines.
func (v *view) checkColumns() error {
	context := v.set.Changed("context")
	name := ""
	switch {
	case v.lineFlag:
		name = "source"
	case v.inlines:
		name = "inlines"
	case context:
		name = "context"
	}
	switch {
	case v.raw && name != "":
		return usagef("--%s means nothing with --raw, which prints addresses only", name)
	case context && v.set.Changed("source") && !v.lineFlag:
		return usagef("--context needs source lines, which --source=false leaves out")
	}
	return nil
}

// The sections of the manual pages that notes are for: see package manpage.
const (
	noteEnvironment = "environment"
	noteFiles       = "files"
	noteOutput      = "output"
)

// note notes for the manual page that a flag has to do with an environment variable, or
// a file.
func note(set *pflag.FlagSet, flag, section, item, text string) {
	f := set.Lookup(flag)
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string, 1)
	}
	f.Annotations[section] = append(f.Annotations[section], item+"\t"+text)
}

// checkNames refuses empty names of files. It runs before every command.
func checkNames(cmd *cobra.Command, _ []string) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "exe", "maps", "core", "procfs", "output", "state-dir", "dir", "log":
			if f.Value.String() == "" {
				err = usagef("--%s: the name is empty", f.Name)
			}
		case "debug-dir":
			dirs := f.Value.(pflag.SliceValue).GetSlice()
			if slices.Contains(dirs, "") {
				err = usagef("--%s: the name is empty", f.Name)
			}
		}
	})
	return err
}

// badValue is why a flag does not take a value.
type badValue string

func (e badValue) Error() string { return string(e) }

// flagError makes a usage error of one about flags.
func flagError(_ *cobra.Command, err error) error {
	var bad badValue
	var invalid *pflag.InvalidValueError
	if errors.As(err, &bad) && errors.As(err, &invalid) {
		return usagef("--%s %q: %v", invalid.GetFlag().Name, invalid.GetValue(), bad)
	}
	return usageError{err}
}

// choice is a flag's value that is one of some words.
type choice struct {
	value *string
	words []string
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "string" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return badValue("must be " + orList(c.words))
	}
	*c.value = s
	return nil
}

// choiceFlag adds a flag whose value, which has its default, is one of some words.
// The shell completes them.
func choiceFlag(cmd *cobra.Command, value *string, name, short string, words []string, usage string) {
	cmd.Flags().VarP(&choice{value, words}, name, short, usage)
	cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// count is a flag's value that is a number and not negative.
type count int

func (c *count) String() string { return strconv.Itoa(int(*c)) }
func (c *count) Type() string   { return "int" }

func (c *count) Set(s string) error {
	n, err := strconv.ParseInt(s, 0, 32)
	switch {
	case err != nil:
		return badValue("not a number")
	case n < 0:
		return badValue("must not be negative")
	}
	*c = count(n)
	return nil
}

// duration is a flag's value that is a time and not negative.
type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }
func (d *duration) Type() string   { return "duration" }

func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return badValue("must be a time with its unit, such as 500ms or 2s")
	case v < 0:
		return badValue("must not be negative")
	}
	*d = duration(v)
	return nil
}

// commaList is the value of a flag that takes a list with commas and may be repeated.
// pflag's own costs a start more than all other flags, as it reads and writes CSV.
type commaList []string

func (l *commaList) String() string { return strings.Join(*l, ",") }
func (l *commaList) Type() string   { return "strings" }

func (l *commaList) Set(s string) error {
	if s != "" {
		*l = append(*l, strings.Split(s, ",")...)
	}
	return nil
}

// share is a flag's value that is a part of a whole, in percent.
type share float64

func (s *share) String() string { return strconv.FormatFloat(100*float64(*s), 'g', -1, 64) + "%" }
func (s *share) Type() string   { return "share" }

func (s *share) Set(text string) error {
	number, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case !ok || err != nil:
		return badValue("must be a share of the time, such as 2%")
	case !(v > 0 && v <= 100): // not a number included
		return badValue("must be above 0% and at most 100%")
	}
	*s = share(v / 100)
	return nil
}

// rate is a flag's value that is how often a second something happens.
type rate float64

// maxRate is more than there is a use for: a sample takes its time.
const maxRate = 10000

func (r *rate) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) }
func (r *rate) Type() string   { return "number" }

func (r *rate) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return badValue("must be a number of samples a second, such as 49")
	case !(v >= 0.01 && v <= maxRate):
		return badValue("must be from 0.01 to 10000")
	}
	*r = rate(v)
	return nil
}

// pidFlag is --pid of the commands that look at one process.
type pidFlag struct{ pids []string }

func (p *pidFlag) register(cmd *cobra.Command) {
	cmd.Flags().VarP((*commaList)(&p.pids), "pid", "p", "look at the process `N`")
}

// one returns the process that --pid names, 0 when it is not given.
func (p *pidFlag) one(cmd *cobra.Command) (int, error) {
	pids, err := parseIDs("--pid", p.pids)
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

// parseIDs parses process or thread numbers.
func parseIDs(flag string, list []string) ([]int, error) {
	var ids []int
	for _, s := range list {
		id, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
		if err != nil || id == 0 {
			return nil, usagef("%s %q: not a process or thread number", flag, s)
		}
		ids = append(ids, int(id))
	}
	return ids, nil
}
