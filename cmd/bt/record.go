//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/record"
	"github.com/gatedso/bt/internal/render"
)

const recordLong = `bt record takes the stacks of processes again and again and counts those that
are alike: where the threads are, and how much of the time. Threads that sleep
count, too, unless --on-cpu is given.

  bt record --pid 1234 --duration 10s -o out.html     a flame graph
  bt record --pid 1234 -f pprof -o cpu.pb.gz --on-cpu for go tool pprof
  bt record -o out.folded -- CMD ARG...               from the command's start to its end

It ends when --duration is over, by ^C or SIGTERM, or with the processes, and
writes what there is by then. Without --format the name of the file tells the
format: .html is flame, .pb.gz pprof, .json json, .folded folded, .perf perf,
and any other name text.

A sample stops only threads that have run since the last one, and lets each go
on as soon as it is copied. A rate that would stop a thread longer than
--max-pause of the time is lowered. Standard error tells the real figures. If bt is killed, nothing stays stopped.

Exit status: 0 all written, 1 nothing could be recorded, 2 wrong usage,
3 written, but something is missing. With a command: the command's own, or 128 +
the number of the signal that it died of; 127 it was not found, 126 it could
not be executed, 125 bt itself failed.`

// recordCommand is bt record.
type recordCommand struct {
	*view

	pids     []string
	hz       float64
	duration time.Duration
	onCPU    bool
	share    float64

	ending atomic.Bool
}

func newRecordCommand(a *app) *cobra.Command {
	c := new(recordCommand)
	cmd := &cobra.Command{
		Use:                   "record [flags] {--pid N[,N] | -- CMD [ARG...]} -o FILE",
		Short:                 "Take the stacks of processes again and again, and count them",
		Long:                  recordLong,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			pids, err := c.check(cmd, args)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				c.command(args)
				return nil
			}
			return c.processes(pids)
		},
	}
	c.view = newView(a, cmd, a.stderr)
	f := c.set
	f.SetInterspersed(false) // the flags after CMD are its own
	f.VarP((*commaList)(&c.pids), "pid", "p", "record the process `N`; a comma list, or given more than once")
	c.hz, c.share = 49, 0.02
	f.Var((*rate)(&c.hz), "hz", "take `N` samples a second")
	f.Var((*duration)(&c.duration), "duration", "record for the `TIME`; 0 = until the processes end, or ^C")
	f.BoolVar(&c.onCPU, "on-cpu", false, "only threads that run, or are ready to run")
	f.Var((*share)(&c.share), "max-pause", "stop no thread for more than this `SHARE` of the time; the rate is lowered to keep it")
	c.framesFlags()
	c.briefFlag()
	c.nameFlags(cmd)
	c.columnFlags()
	c.procfsFlag()
	c.formatFlag(cmd, formatText, formatJSON, formatFolded, formatPprof, formatFlame, formatPerf)
	f.Lookup("format").Usage += "; by the name of the file where it is not given"
	c.outputFlags(cmd)
	f.Lookup("output").Usage = "write to `FILE`"
	return cmd
}

// check refuses wrong usage and returns the numbers of the processes.
func (c *recordCommand) check(cmd *cobra.Command, args []string) ([]int, error) {
	pids, err := parseIDs("--pid", c.pids)
	switch {
	case err != nil:
		return nil, err
	case len(args) > 0 && args[0] == "":
		return nil, usagef("record needs a command that has a name")
	case len(pids) > 0 && len(args) > 0:
		return nil, usagef("record takes either --pid or a command")
	case cmd.Flags().Changed("pid") && len(pids) == 0:
		return nil, usagef("--pid has no number")
	case len(pids) == 0 && len(args) == 0:
		return nil, usagef("record needs --pid or a command")
	case c.output == "":
		return nil, usagef("record needs --output: the file to write")
	}
	if !cmd.Flags().Changed("format") {
		c.format = formatOf(c.output)
	}
	if err := c.checkColumns(); err != nil {
		return nil, err
	}
	return pids, c.checkFormat()
}

// formatOf tells a format by the name of a file.
func formatOf(path string) string {
	name := filepath.Base(path)
	for _, f := range []struct{ suffix, format string }{
		{".html", formatFlame}, {".pb.gz", formatPprof}, {".pprof", formatPprof}, {".json", formatJSON},
		{".folded", formatFolded}, {".perf", formatPerf},
	} {
		if strings.HasSuffix(name, f.suffix) {
			return f.format
		}
	}
	return formatText
}

func (c *recordCommand) options() *record.Options {
	return &record.Options{
		Hz: c.hz, Duration: c.duration, MaxShare: c.share, OnCPU: c.onCPU,
		Native: c.native || c.raw, MaxFrames: c.maxFrames, Timeline: c.format == formatPerf,
		Stop: c.ending.Load,
	}
}

// endBySignal has ^C and the like end the recording.
func (c *recordCommand) endBySignal() {
	ch := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
	go guard.Run(func() {
		<-ch
		c.ending.Store(true)
		c.session().StopDownloads()
	})
}

// keepRunning has ^Z, and a terminal that stops what writes to it from the background,
// not stop bt: what it traces would stand still at its next signal, if not at once.
func (c *recordCommand) keepRunning() {
	signal.Ignore(unix.SIGTTOU, unix.SIGTTIN)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGTSTP)
	go guard.Run(func() {
		for range ch {
			c.errorf("bt does not stop while it records, as the process could stand still with it: ^C ends")
		}
	})
}

// moreThreads lets the threads that trace run whatever else is going on.
func moreThreads(n int) { runtime.GOMAXPROCS(runtime.NumCPU() + n) }

// one is a process that is recorded.
type one struct {
	*record.Recording
	process *live.Process
	err     error
}

// processes records processes and prints what was recorded.
func (c *recordCommand) processes(pids []int) error {
	out, err := c.openOutput()
	if err != nil {
		return err
	}
	var list []*one
	var failed []error
	for _, pid := range pids {
		p, err := c.openProcess(pid)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		defer p.Close()
		if slices.ContainsFunc(list, func(o *one) bool { return o.process.PID == p.PID }) {
			continue
		}
		r := record.New(c.session(), c.options())
		defer r.Close()
		list = append(list, &one{Recording: r, process: p})
	}
	c.endBySignal()
	c.keepRunning()
	moreThreads(len(list))
	stop := c.progress(list)
	var wg sync.WaitGroup
	for _, r := range list {
		guard.Go(&wg, func() { r.err = r.Process(r.process) })
	}
	wg.Wait()
	stop()
	var recorded []*record.Recording
	for _, r := range list {
		if r.err != nil {
			failed = append(failed, r.err)
			continue
		}
		recorded = append(recorded, r.Recording)
	}
	return out.end(c.write(out, recorded, failed))
}

var errNoSample = errors.New("nothing was recorded: the process ended, or the time was over, before the first sample")

// write prints recordings. failed says why there are not more.
func (c *recordCommand) write(out *output, list []*record.Recording, failed []error) error {
	n := 0
	for _, r := range list {
		n += r.Stats().Samples
	}
	if n == 0 {
		for i, err := range failed {
			if i < len(failed)-1 {
				c.errorf("%v", err)
			}
		}
		if len(failed) > 0 {
			return failed[len(failed)-1]
		}
		return errNoSample
	}
	for _, err := range failed {
		c.incomplete("%v", err)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	f := c.newFormat(w, out)
	for _, r := range list {
		c.print(f, r)
	}
	f.Close()
	return w.Flush()
}

func (c *recordCommand) print(f render.Format, r *record.Recording) {
	s := r.Stats()
	c.gateProblem(s.Gate)
	r.Print(f, record.PrintOptions{
		Maps: c.format == formatPprof, Together: c.format == formatText, Timeline: c.format == formatPerf,
	})
	c.summary(r)
}

// summary tells the figures.
func (c *recordCommand) summary(r *record.Recording) {
	s := r.Stats()
	c.errorf("process %d: %s of %s in %.1f s, %.3g a second", r.PID, number(s.Samples, "sample"), number(s.Threads, "thread"), s.Time.Seconds(), s.Hz())
	c.errorf("process %d: stopped for %d of them, no thread for more than %.2g%% of the time: %.3g ms in all, %.3g ms at most",
		r.PID, s.Stops, 100*s.Share(), milliseconds(s.Stopped), milliseconds(s.Longest))
	if s.Lowered > 0 {
		c.errorf("process %d: the rate was lowered from %g a second, to stop no thread for more than %s of the time (--max-pause)", r.PID, c.hz, (*share)(&c.share))
	}
	if s.Late > 0 {
		c.errorf("process %d: %s left out, as bt, or the machine, was busy", r.PID, number(s.Late, "sample"))
	}
	if text := s.Missing(); text != "" {
		c.incomplete("process %d: %s", r.PID, text)
	}
}

// number is a number of things.
func number(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// progress tells on a terminal how far it is, until stop is called.
func (c *recordCommand) progress(list []*one) (stop func()) {
	if len(list) == 0 {
		return func() {}
	}
	begin := time.Now()
	return c.app.progress(func() string {
		samples, threads := 0, 0
		var stood time.Duration
		for _, r := range list {
			n, t, s := r.Progress()
			samples, threads, stood = samples+n, threads+t, max(stood, s)
		}
		gone := time.Since(begin)
		return fmt.Sprintf("%.0f s, %d samples, %d threads, stopped %.2g%% of the time; ^C ends",
			gone.Seconds(), samples, threads, 100*stood.Seconds()/gone.Seconds())
	})
}

// command runs a command, records it, and sets the exit status.
func (c *recordCommand) command(args []string) {
	path, err := live.LookPath(args[0])
	if err != nil {
		c.cannotRun(args[0], err)
		return
	}
	out, err := c.openOutput()
	if err != nil {
		c.errorf("%v", err)
		c.status = exitRunFailed
		return
	}
	c.endBySignal()
	moreThreads(1)
	r := record.New(c.session(), c.options())
	defer r.Close()
	var unwatched error
	var written error
	end, err := r.Command(live.Command{
		Path: path, Argv: args, Env: os.Environ(),
		Unwatched: func(err error) {
			unwatched = fmt.Errorf("%s runs and is not recorded: %w (in a container, run it with the capability SYS_PTRACE)", args[0], err)
			c.errorf("%v", unwatched)
		},
	}, func() {
		var failed []error
		if unwatched != nil {
			failed = append(failed, unwatched)
		}
		written = out.end(c.write(out, []*record.Recording{r}, failed))
		if errors.Is(written, errNoSample) { // a command that has ended at once
			c.errorf("%v", written)
		}
	})
	switch {
	case err != nil:
		c.cannotRun(args[0], err)
	case written != nil && unwatched == nil && !errors.Is(written, errNoSample):
		c.errorf("%v", written)
		c.status = exitRunFailed
	case end.Signo != 0:
		c.status = exitSignal + end.Signo
	default:
		c.status = end.Status
	}
}
