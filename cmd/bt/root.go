//go:build linux

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/render/text"
)

// rootCommand is bt without a subcommand.
type rootCommand struct {
	*view

	pids, tids []string
	mapsFile   string
	core       string
	exe        string
	returns    bool
	filter     bool
}

const long = `bt prints the stacks of processes and names addresses: symbol+offset, through
signal handlers and through the gate DSO, the code that the kernel itself maps
into every process.

  bt --pid 1234               print every thread's stack of a running process
  bt --pid 1234 7f12…         name addresses in that process, without stopping it
  … | bt --pid 1234 -         the same, addresses from standard input
  bt --core core.1234         print every thread's stack of a core file
  … | bt --maps saved.maps    name addresses by a saved copy of /proc/PID/maps
  … | bt --exe PROG           name link-time addresses of one ELF file
  bt < report                 name a report: maps lines, then addresses
  … | bt --filter [--pid …]   copy any text, and name the addresses in it

Exit status: 0 all printed, 1 nothing could be printed, 2 wrong usage,
3 printed, but something is missing.`

// outputText describes the output, for the manual page.
const outputText = `A frame is one line: 16 hexadecimal digits (8 of a 32-bit process), a space, and
<symbol+0xoffset>; or the address alone, where no symbol covers it. The innermost frame
is the first.

  00007f2b5a0dc6e0 <__libc_start_main+0x3e0>

Of a return address the offset is that of the address itself, but its function is looked
up at the call, one byte before. Calls that the compiler has inlined have lines of their
own, with "(inlined)" at the end; frames of Python, JavaScript and Java stand before the
native frame that runs them.

Every line that is no frame begins with "#":

  # process 1234 ./prog       the process, and its program
  # thread 1235 "worker"      a thread, and its name
  # goroutine 18 [select]     a goroutine that no thread runs
  # waits in …                what the thread waits for, with --waits
  # signal SIGUSR1            the frames below were interrupted by this signal
  # end: …                    why the stack ends before its outermost frame
  # deadlock: …               threads that wait for each other

bt reads its own output: "bt --pid 1234 --raw | bt --pid 1234 -" names what was raw.`

const examples = `  # What is every thread of a process doing, and what does it wait for?
  bt --pid 1234 --waits
  # The same of several processes; deadlocks across them are told
  bt --pid 1234,1301 --waits
  # A core file: why the process died, and its stacks
  bt --core core.1234
  # Save what is needed to name the addresses on another machine, and name them there
  bt --pid 1234 --raw --with-maps > report
  bt < report
  # Name the addresses in a log of the kernel's
  dmesg | bt --filter --exe ./worker
  # A flame graph, as one HTML file
  bt --pid 1234 --format flame -o stacks.html`

// newRootCommand returns the command bt with the subcommands that args may call.
func newRootCommand(a *app, args []string) *cobra.Command {
	c := new(rootCommand)
	cmd := &cobra.Command{
		Use:           "bt [flags] [ADDR... | -]",
		Short:         "Print the stacks of processes, and name addresses",
		Long:          long,
		Example:       examples,
		Annotations:   map[string]string{noteOutput: outputText},
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		// The subcommands' flags are checked by it, too.
		PersistentPreRunE: checkNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(); err != nil {
				return err
			}
			return c.dispatch(cmd, args)
		},
	}
	cmd.SetFlagErrorFunc(flagError)
	c.view = newView(a, cmd, a.stdout)
	f := c.set
	f.VarP((*commaList)(&c.pids), "pid", "p", "the target: the running process `N`; a comma list, or given more than once")
	f.StringVar(&c.mapsFile, "maps", "", "the target: `FILE`, a saved copy of /proc/PID/maps")
	f.StringVarP(&c.core, "core", "c", "", "the target: `FILE`, a core file, also a compressed one")
	f.StringVarP(&c.exe, "exe", "e", "", "the target: `FILE`, one ELF file, whose link-time addresses are named; with --core: the program")
	f.VarP((*commaList)(&c.tids), "tid", "t", "only the thread `N`; a comma list, or given more than once")
	c.stackFlags()
	c.maxPause = time.Second
	f.Var((*duration)(&c.maxPause), "max-pause", "let the process go on after `DURATION` at the latest; stacks that lack something then say so; 0 = no limit")
	c.nameFlags(cmd)
	c.columnFlags()
	c.procfsFlag()
	f.BoolVar(&c.withMaps, "with-maps", false, "with --pid or --core: print the maps and build IDs first, so that bt can name the output elsewhere")
	f.BoolVar(&c.returns, "return-addresses", false, "addresses with no \"# thread\" line above them are return addresses")
	c.formatFlag(cmd, formats...)
	c.filterFlag(f)
	c.outputFlags(cmd)
	addSubcommands(a, cmd, args)
	return cmd
}

// subcommands are bt's commands, by their names.
var subcommands = []struct {
	name string
	make func(*app) *cobra.Command
}{
	{"gate", newGateCommand}, {"maps", newMapsCommand}, {"run", newRunCommand}, {"record", newRecordCommand}, {"crash", newCrashCommand},
	{addr2lineName, newAddr2lineCommand}, {"completion", newCompletionCommand}, {"version", versionCommand},
}

// addSubcommands adds the commands that args can mean. To make the others, with all
// their flags, would be a good part of the time that a short run takes.
func addSubcommands(a *app, root *cobra.Command, args []string) {
	all := len(args) == 0 || slices.ContainsFunc(args, listsCommands)
	for _, c := range subcommands {
		if all || slices.Contains(args, c.name) {
			root.AddCommand(c.make(a))
		}
	}
}

// listsCommands reports whether an argument may ask for the list of commands: help, or
// what shells call for completion.
func listsCommands(arg string) bool {
	switch {
	case strings.HasPrefix(arg, "--"):
		return strings.HasPrefix(arg, "--help")
	case strings.HasPrefix(arg, "-"):
		return strings.Contains(arg, "h") // also behind other letters
	}
	return arg == "help" || arg == "completion" || arg == cobra.ShellCompRequestCmd || arg == cobra.ShellCompNoDescRequestCmd
}

// check refuses flags of the root command that mean nothing together.
func (a *rootCommand) check() error {
	targets := 0
	for _, given := range []bool{len(a.pids) > 0, a.core != "", a.mapsFile != "", a.exe != "" && a.core == ""} {
		if given {
			targets++
		}
	}
	switch {
	case targets > 1:
		return usagef("--pid, --core, --maps and --exe exclude each other, but for --core with --exe")
	case a.withMaps && len(a.pids) == 0 && a.core == "":
		return usagef("--with-maps needs --pid or --core")
	case a.group && len(a.pids) == 0 && a.core == "":
		return usagef("--group needs --pid or --core")
	case len(a.tids) > 0 && len(a.pids) == 0 && a.core == "":
		return usagef("--tid needs --pid or --core")
	case a.filter && a.format != formatText:
		return usagef("--format %s means nothing with --filter", a.format)
	case a.waits && len(a.pids) == 0 && a.core == "" && !a.filter:
		return usagef("--waits is for stacks: it needs --pid or --core")
	case a.kernel && len(a.pids) == 0 && !a.filter:
		return usagef("--kernel needs --pid: the kernel's stacks are in no core")
	case a.format != formatText && a.format != formatJSON && len(a.pids) == 0 && a.core == "":
		return usagef("--format %s is for stacks: it needs --pid or --core", a.format)
	}
	if err := a.checkColumns(); err != nil {
		return err
	}
	return a.checkFormat()
}

// dispatch finds out what is wanted: the target says which address space, the
// presence of addresses what to do with it.
func (a *rootCommand) dispatch(cmd *cobra.Command, args []string) error {
	dash := len(args) == 1 && args[0] == "-"
	var addrs []uint64
	if !dash {
		for _, arg := range args {
			addr, err := parseAddr(arg)
			if err != nil {
				return err
			}
			addrs = append(addrs, addr)
		}
	}
	pids, err := parseIDs("--pid", a.pids)
	if err != nil {
		return err
	}
	tids, err := parseIDs("--tid", a.tids)
	if err != nil {
		return err
	}
	// An empty variable of a script: it did not mean "read standard input" or
	// "all threads".
	switch {
	case cmd.Flags().Changed("pid") && len(pids) == 0:
		return usagef("--pid has no number")
	case cmd.Flags().Changed("tid") && len(tids) == 0:
		return usagef("--tid has no number")
	case cmd.Flags().Changed("max-pause") && (len(pids) == 0 || len(args) > 0):
		return usagef("--max-pause is for the stacks of a running process")
	}
	if len(pids) == 1 {
		if err := a.mistaken(pids[0], args, addrs); err != nil {
			return err
		}
	}
	if a.filter {
		return a.filterText(cmd, pids, len(addrs))
	}
	stacks := len(pids) > 0 || a.core != ""
	none := !stacks && a.mapsFile == "" && a.exe == ""
	switch {
	case none && len(addrs) > 0:
		return usagef("addresses need a target: --pid, --core, --maps or --exe")
	case none && !dash && isTerminal(a.stdin):
		return cmd.Help()
	case len(pids) > 1 && len(args) > 0:
		return usagef("addresses belong to one process: give --pid once")
	case len(args) > 0 && a.format != formatText && a.format != formatJSON:
		return usagef("--format %s is for stacks, not for given addresses", a.format)
	case stacks && len(args) > 0 && a.group:
		return usagef("--group is for stacks, not for given addresses")
	case stacks && len(args) > 0 && a.waits:
		return usagef("--waits is for stacks, not for given addresses")
	case stacks && len(args) > 0 && a.kernel:
		return usagef("--kernel is for stacks, not for given addresses")
	case stacks && len(args) > 0 && (a.withMaps || len(tids) > 0):
		return usagef("--with-maps and --tid are for stacks, not for given addresses")
	}

	out, err := a.openOutput()
	if err != nil {
		return err
	}
	switch {
	case a.core != "" && len(args) == 0:
		err = a.coreStacks(out, tids)
	case len(pids) > 0 && len(args) == 0:
		err = a.stacks(out, pids, tids)
	default:
		err = a.addresses(out, pids, addrs, len(addrs) == 0)
	}
	return out.end(err)
}

// mistaken refuses an address that is none in the process but the number of another one:
// --pid $(pidof NAME) where several have that name.
func (a *rootCommand) mistaken(pid int, args []string, addrs []uint64) error {
	for i, addr := range addrs {
		if strings.Trim(args[i], "0123456789") != "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(a.procfs, args[i])); err != nil {
			continue
		}
		m, err := image.ReadMaps(filepath.Join(a.procfs, strconv.Itoa(pid), "maps"))
		if err == nil && m.Find(addr) == nil {
			return usagef("%s is no address in process %d, but a process: several are given as --pid %d,%s", args[i], pid, pid, args[i])
		}
	}
	return nil
}

// openOutput opens --output.
func (v *view) openOutput() (*output, error) {
	if v.output == "" {
		return &output{File: v.stdout}, nil
	}
	return openFile(v.output)
}

func parseAddr(s string) (uint64, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	addr, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, usagef("%q is not a hexadecimal address, nor a command", s)
	}
	return addr, nil
}

// gateSources collects what can set the gate DSO.
func (t *target) gateSources() gate.Sources {
	s := gate.Sources{Procfs: t.procfs, Sysroot: t.sysroot, StateDirs: t.stateDirs()}
	if t.set.Changed("gate-dso") {
		s.Flag = &t.gateDSO
	}
	if v, ok := os.LookupEnv(gate.Env); ok {
		s.Env = &v
	}
	return s
}

// textOptions are the options of text for out.
func (v *view) textOptions(out *output) text.Options {
	o := text.Options{Raw: v.raw, Module: v.module, BuildID: v.buildID, Basenames: v.basenames, Brief: v.brief, Verbose: v.verbose}
	o.Source, o.Inlines = v.lines()
	o.Group, o.Fold = v.group, v.group || !v.raw && isTerminal(out.File)
	switch v.color {
	case "always":
		o.Color = true
	case "auto":
		o.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(out.File)
	}
	return o
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func versionCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print bt's version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Println("bt " + longVersion())
			return nil
		},
	}
}

// release is the version that packages give bt, by the linker's -X flag; empty: what Go
// knows of the build.
var release string

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// longVersion is the version with what bt was built from and by.
func longVersion() string {
	facts := []string{runtime.Version()}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		info = new(debug.BuildInfo)
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["GOOS"] != "" {
		facts = append(facts, settings["GOOS"]+"/"+settings["GOARCH"])
	}
	if commit := settings["vcs.revision"]; commit != "" {
		if settings["vcs.modified"] == "true" {
			commit += " with changes"
		}
		facts = append([]string{"commit " + commit}, facts...)
	}
	return version() + " (" + strings.Join(facts, ", ") + ")"
}
