//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatedso/bt/internal/crash"
	"github.com/gatedso/bt/internal/crash/report"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render/json"
)

const crashLong = `bt crash makes bt what the kernel gives crashes to (kernel.core_pattern): of each
process that dies of a signal with a core it writes a report, with the reason,
the maps and the named stacks, and one line to the system's log. The core itself
is read as it comes and not stored.

install remembers the pattern that it replaces, uninstall restores it. Neither
outlives a reboot: to have bt installed at boot, run install there.

Exit status: 0 done, 1 not done, 2 wrong usage, 3 status has found problems.`

// crashCommand is one of the commands of bt crash: what it has of their flags.
type crashCommand struct {
	*app

	procfs string
	dir    string
	log    string
	limits crash.Limits
	jsonFlag
	force bool
	chain bool
}

func newCrashCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "crash",
		Short: "Report every crash on this machine: a handler for kernel.core_pattern",
		Long:  crashLong,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("bt crash needs one of install, uninstall, status, list, show")
		},
	}
	cmd.AddCommand(newCrashInstall(a), newCrashUninstall(a), newCrashStatus(a), newCrashList(a), newCrashShow(a),
		a.crashHandleCommand(), a.crashWorkerCommand())
	return cmd
}

// where are the reports, for all but install.
const where = "the reports are in `DIR`; default: what kernel.core_pattern says"

func (a *crashCommand) placeFlags(f *pflag.FlagSet, dir, usage string) {
	f.StringVar(&a.dir, "dir", dir, usage)
	note(f, "dir", noteFiles, crash.DefaultDir, "the reports, a file each, and settings.json, which remembers the core_pattern that bt has replaced")
	note(f, "dir", noteFiles, "/proc/sys/kernel/core_pattern", "what the kernel gives crashes to (core(5))")
	procfsFlag(f, &a.procfs)
}

func newCrashInstall(a *app) *cobra.Command {
	c := &crashCommand{app: a}
	cmd := &cobra.Command{
		Use:   "install [flags]",
		Short: "Give crashes to bt",
		Example: `  bt crash install
  # Reports go to systemd's journal as well, for what collects that
  bt crash install --log journal
  # Let the handler before bt have each core, too
  bt crash install --chain`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return c.crashInstall() },
	}
	f := cmd.Flags()
	f.SortFlags = false
	c.placeFlags(f, crash.DefaultDir, "put the reports into `DIR`, which is made if need be")
	f.IntVar(&c.limits.MaxReports, "max-reports", crash.DefaultLimits.MaxReports, "keep at most `N` reports; the oldest goes first")
	f.Int64Var(&c.limits.MaxBytes, "max-bytes", crash.DefaultLimits.MaxBytes, "keep at most `N` bytes of reports")
	f.DurationVar(&c.limits.Timeout, "timeout", crash.DefaultLimits.Timeout, "leave a report as it is after `DURATION`")
	f.IntVar(&c.limits.Handlers, "handlers", crash.DefaultLimits.Handlers, "make at most `N` reports at the same time; others wait")
	f.StringVar(&c.log, "log", "", "append the log lines to `FILE` instead of the system's log; journal: send entries with fields to systemd's journal, journal:SOCKET to one that listens there")
	c.format = crash.FormatText
	choiceFlag(cmd, &c.format, "format", "f", []string{crash.FormatText, crash.FormatJSON}, "`FORMAT` of the log's entries: text, a line; or json, an object with the report, a line of its own in FILE, the message in the journal")
	f.BoolVar(&c.chain, "chain", false, "give each core to the handler that bt replaces, too")
	return cmd
}

func newCrashUninstall(a *app) *cobra.Command {
	c := &crashCommand{app: a}
	cmd := &cobra.Command{
		Use:   "uninstall [flags]",
		Short: "Restore what install has replaced",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return c.crashUninstall() },
	}
	c.placeFlags(cmd.Flags(), "", where)
	cmd.Flags().BoolVar(&c.force, "force", false, "also where another has set the pattern since, or it is not known what was replaced")
	return cmd
}

func newCrashStatus(a *app) *cobra.Command {
	c := &crashCommand{app: a}
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Say what crashes are given to, how many reports there are, and what is wrong",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return c.crashStatus() },
	}
	c.placeFlags(cmd.Flags(), "", where)
	return cmd
}

func newCrashList(a *app) *cobra.Command {
	c := &crashCommand{app: a}
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the reports, the newest first",
		Example: `  bt crash list
  # The programs that crash most
  bt crash list --format json | jq -r '.reports[].name' | sort | uniq -c | sort -rn`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return c.crashList() },
	}
	c.placeFlags(cmd.Flags(), "", where)
	c.jsonFlag.register(cmd)
	return cmd
}

func newCrashShow(a *app) *cobra.Command {
	c := &crashCommand{app: a}
	cmd := &cobra.Command{
		Use:   "show [flags] [N | FILE]",
		Short: "Print the report with that number or name in the list, default the newest",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("bt crash show takes one report")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.crashShow(args) },
		Example: `  # The newest report
  bt crash show
  # The second newest
  bt crash show 2`,
		ValidArgsFunction: c.completeReports,
	}
	c.placeFlags(cmd.Flags(), "", where)
	c.format = formatText
	words := []string{formatText, formatJSON}
	choiceFlag(cmd, &c.format, "format", "f", words, "output format: "+orList(words))
	return cmd
}

func (a *crashCommand) crashInstall() error {
	if l := a.limits; l.MaxReports < 1 || l.MaxBytes < 1 || l.Timeout <= 0 || l.Handlers < 1 {
		return usagef("--max-reports, --max-bytes, --timeout and --handlers must be more than 0")
	}
	socket, isSocket := strings.CutPrefix(a.log, crash.Journal+":")
	switch {
	case a.log == "" && a.format == crash.FormatJSON:
		return usagef("--format json needs --log: the system's log has short lines")
	case a.log == "" || a.log == crash.Journal || isSocket && filepath.IsAbs(socket):
	case !filepath.IsAbs(a.log):
		return usagef("--log %q: must be an absolute path, journal, or journal: and the absolute path of a socket", a.log)
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := crash.Install(crash.Options{Procfs: a.procfs, Binary: binary, Dir: a.dir, Limits: a.limits, Log: a.log, Format: a.format, Chain: a.chain})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "# kernel.core_pattern is now %s\n# it was %s (bt crash uninstall restores it)\n",
		escape.Name(s.Pattern), escape.Name(s.Previous))
	return nil
}

func (a *crashCommand) crashUninstall() error {
	restored, err := crash.Uninstall(a.procfs, a.dir, a.force)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "# kernel.core_pattern is %s again\n", escape.Name(restored))
	return nil
}

func (a *crashCommand) crashStatus() error {
	s, err := crash.Look(a.procfs, a.dir)
	if err != nil {
		return err
	}
	line := func(key, format string, args ...any) {
		fmt.Fprintf(a.stdout, "%-10s %s\n", key, escape.Text(fmt.Sprintf(format, args...)))
	}
	installed := "no"
	if s.Installed {
		installed = "yes"
	}
	line("installed", "%s", installed)
	line("pattern", "%s", s.Pattern)
	line("pipe limit", "%d", s.PipeLimit)
	l := s.Settings.Limits
	if s.Installed {
		line("replaced", "%s (pipe limit %d)", s.Settings.Previous, s.Settings.PreviousPipeLimit)
		log := s.Settings.Log
		if log == "" {
			log = "syslog"
		}
		if s.Settings.Format == crash.FormatJSON {
			log += " (JSON)"
		}
		line("log", "%s", log)
		if s.Settings.Chain {
			line("chain", "the replaced handler gets each core, too")
		}
		line("handlers", "%d at the same time, %v each", l.Handlers, l.Timeout)
	}
	line("directory", "%s", s.Dir)
	line("reports", "%d of %d, %d of %d bytes", s.Reports, l.MaxReports, s.Bytes, l.MaxBytes)
	for _, p := range s.Problems {
		a.incomplete("%s", p)
	}
	return nil
}

// crashDir opens the directory of the reports.
func (a *crashCommand) crashDir() (*crash.Dir, error) {
	dir := a.dir
	if dir == "" {
		s, err := crash.Look(a.procfs, "")
		if err != nil {
			return nil, err
		}
		dir = s.Dir
	}
	d, err := crash.OpenDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there are no crash reports: %w (bt crash install)", err)
	}
	return d, err
}

// crashEntry is a line of bt crash list.
type crashEntry struct {
	Number int    `json:"number"` // 1 is the newest
	Time   string `json:"time"`   // RFC 3339
	PID    int    `json:"pid"`
	Name   string `json:"name"`
	Signal string `json:"signal"`
	Size   int64  `json:"size"` // in bytes
	File   string `json:"file"` // in the directory
}

func newCrashEntry(number int, r *crash.Report) crashEntry {
	return crashEntry{number, r.Time.Format(time.RFC3339), r.PID, escape.Name(r.Name), escape.Name(r.Signal), r.Size, escape.Name(r.File)}
}

// crashReports is what bt crash list prints as JSON, and crashText what bt crash show
// does: see docs/schema.
type crashReports struct {
	Schema  string       `json:"$schema"`
	Reports []crashEntry `json:"reports"`
}

type crashText struct {
	Schema string `json:"$schema"`
	*crashEntry
	Text string `json:"text"`
}

func (a *crashCommand) crashList() error {
	d, err := a.crashDir()
	if err != nil {
		return err
	}
	defer d.Close()
	reports, err := d.Reports()
	if err != nil {
		return err
	}
	entries := []crashEntry{}
	for i := range reports {
		entries = append(entries, newCrashEntry(i+1, &reports[i]))
	}
	switch {
	case a.format == formatJSON:
		return a.printJSON(crashReports{json.SchemaBase + "crash-list-1.json", entries})
	case a.json():
		return a.printJSON(entries)
	}
	if len(entries) > 0 {
		fmt.Fprintf(a.stdout, "%4s  %-20s  %7s  %-15s  %-9s  %8s\n", "N", "TIME", "PID", "NAME", "SIGNAL", "SIZE")
	}
	for _, e := range entries {
		fmt.Fprintf(a.stdout, "%4d  %-20s  %7d  %-15s  %-9s  %8d\n", e.Number, e.Time, e.PID, e.Name, e.Signal, e.Size)
	}
	return nil
}

func (a *crashCommand) crashShow(args []string) error {
	n, file := 1, ""
	if len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil {
			file = args[0]
		} else if n < 1 {
			return usagef("bt crash show %d: 1 is the newest report", n)
		}
	}
	d, err := a.crashDir()
	if err != nil {
		return err
	}
	defer d.Close()
	reports, err := d.Reports()
	if err != nil {
		return err
	}
	if file == "" {
		if n > len(reports) {
			return fmt.Errorf("there is no crash report %d: %s has %d", n, d.Path, len(reports))
		}
		file = reports[n-1].File
	}
	f, err := d.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if a.format == formatJSON {
		return a.crashJSON(file, reports, f)
	}
	return copyEscaped(a.stdout, f)
}

// crashJSON prints a report as JSON, with its entry in the list where it is in that.
func (a *crashCommand) crashJSON(file string, reports []crash.Report, r io.Reader) error {
	var text strings.Builder
	if err := copyEscaped(&text, r); err != nil {
		return err
	}
	out := crashText{Schema: json.SchemaBase + "crash-report-1.json", Text: text.String()}
	for i := range reports {
		if reports[i].File == file {
			e := newCrashEntry(i+1, &reports[i])
			out.crashEntry = &e
		}
	}
	return a.printJSON(out)
}

// copyEscaped copies text to where it could be a terminal that reads it.
func copyEscaped(w io.Writer, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSuffix(line, "\n")
		if _, err := io.WriteString(w, escape.Text(text)+line[len(text):]); err != nil {
			return err
		}
	}
	return nil
}

// crashHandleCommand is what the kernel runs.
func (a *app) crashHandleCommand() *cobra.Command {
	h := crash.Handler{Worker: []string{"crash", "worker"}, Version: version()}
	var at int64
	var pidfd string
	var procfs string
	var f *pflag.FlagSet
	cmd := &cobra.Command{
		Use:   "handle --pid N --tid N --signal N --uid N --gid N --time SECONDS --name NAME",
		Short: "Make the report of the crash whose core is on standard input: for the kernel",
		// Old kernels split the name, of the process's own choice, at blanks.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for i, arg := range args {
				if arg == "--name" {
					h.Request.Name = strings.Join(args[i+1:], " ")
					args = args[:i]
					break
				}
			}
			if err := f.Parse(args); err != nil {
				return usageError{err}
			}
			if help, _ := f.GetBool("help"); help {
				return cmd.Help()
			}
			if rest := f.Args(); len(rest) > 0 {
				return usagef("%s takes no argument %q", cmd.CommandPath(), rest[0])
			}
			if err := checkNames(cmd, nil); err != nil {
				return err
			}
			h.Request.Pidfd, _ = strconv.Atoi(pidfd) // old kernels leave it empty
			h.Procfs = procfs
			return a.crashHandle(&h, at)
		},
	}
	f = cmd.Flags()
	f.SortFlags = false
	f.StringVar(&h.Dir, "dir", crash.DefaultDir, "put the reports into `DIR`")
	f.StringVar(&h.Log, "log", "", "append the log lines to `FILE` instead of the system's log")
	procfsFlag(f, &procfs)
	f.IntVar(&h.Request.PID, "pid", 0, "the process `N` (%P)")
	f.IntVar(&h.Request.TID, "tid", 0, "the thread `N`, which died (%I)")
	f.IntVar(&h.Request.Signal, "signal", 0, "the signal `N` that it died of (%s)")
	f.IntVar(&h.Request.UID, "uid", 0, "its user `N` (%u)")
	f.IntVar(&h.Request.GID, "gid", 0, "its group `N` (%g)")
	f.Int64Var(&at, "time", 0, "when, in `SECONDS` since 1970 (%t)")
	f.IntVarP(&h.Request.Dump, "dump", "d", 0, "whether users may read the core (%d), as `N`")
	f.StringVar(&pidfd, "pidfd", "", "a descriptor `N` of the process (%F), where the kernel gives one")
	f.String("name", "", "its command `NAME` (%e); takes all that follows")
	return cmd
}

func (a *app) crashHandle(h *crash.Handler, at int64) error {
	if h.Request.PID <= 0 {
		return usagef("bt crash handle: --pid is missing: it is for the kernel, see bt crash install")
	}
	if h.Request.Time = time.Unix(at, 0); at <= 0 {
		h.Request.Time = time.Now()
	}
	h.Core = a.stdin
	return h.Run()
}

// crashWorkerCommand is what the handler runs without root's privileges.
func (a *app) crashWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Hidden: true,
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			job, err := crash.ReadJob()
			if err == nil {
				err = job.Confine()
			}
			if err != nil {
				return err
			}
			// Should the handler be killed, nobody else ends this.
			time.AfterFunc(2*job.Timeout, func() { os.Exit(exitNothing) })
			return report.Write(a.stdout, a.stdin, job)
		},
	}
}
