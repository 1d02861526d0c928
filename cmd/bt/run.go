//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace"
)

// The exit statuses of bt run that are not the command's, as shells and env(1)
// have them.
const (
	exitRunFailed     = 125
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128
)

const runLong = `bt run runs a command, and when it dies of a signal says why: the signal, the
address, what is mapped there, the instruction, the registers, and the stacks
of all threads, the crashing one first. A signal that the command handles or
ignores is no death. Of a signal that is no sign of a fault (SIGTERM, SIGINT,
SIGPIPE, SIGKILL, …) one line tells.

The report goes to standard error, or to the file of --output; standard input
and output are the command's. Signals and job control pass through to it.

Exit status: that of the command, or 128 + the number of the signal that it
died of; 127 the command was not found, 126 it could not be executed,
125 bt itself failed, 2 wrong usage.`

// runCommand is bt run.
type runCommand struct {
	*view

	allThreads  bool
	followForks bool
	propagate   bool
}

func newRunCommand(a *app) *cobra.Command {
	c := new(runCommand)
	cmd := &cobra.Command{
		Use:                   "run [flags] [--] CMD [ARG...]",
		Short:                 "Run a command, and print why it died and the stacks if it crashes",
		Long:                  runLong,
		DisableFlagsInUseLine: true,
		Example: `  # Why does a command crash?
  bt run -- ./server --port 8080
  # In a script: the report goes to a file, the exit status is the command's
  bt run -o crash.txt -- ./nightly-job`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return usagef("run needs a command")
			}
			return c.checkFormat()
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := c.checkColumns(); err != nil {
				return err
			}
			c.runWatched(args)
			return nil
		},
	}
	c.view = newView(a, cmd, a.stderr)
	f := c.set
	f.SetInterspersed(false) // the flags after CMD are its own
	f.BoolVar(&c.allThreads, "all-threads", true, "print all threads; =false prints the crashing one")
	f.BoolVar(&c.followForks, "follow-forks", false, "watch the processes, too, that the command makes")
	f.BoolVar(&c.propagate, "propagate", false, "when the command dies of a signal, die of the same one")
	c.stackFlags()
	c.nameFlags(cmd)
	c.columnFlags()
	f.BoolVar(&c.withMaps, "with-maps", false, "print the maps and build IDs before the stacks, so that bt can name them elsewhere")
	c.formatFlag(cmd, formatText, formatJSON, formatGDB)
	c.outputFlags(cmd)
	f.Lookup("output").Usage = "write the report to `FILE` instead of standard error"
	return cmd
}

// runWatched runs a command and sets the exit status.
func (a *runCommand) runWatched(args []string) {
	path, err := live.LookPath(args[0])
	if err != nil {
		a.cannotRun(args[0], err)
		return
	}
	out := &output{File: a.stderr}
	a.screen = out.File
	if a.output != "" {
		if out, err = openFile(a.output); err != nil {
			a.errorf("%v", err)
			a.status = exitRunFailed
			return
		}
	}
	r := &deaths{run: a, out: out, w: bufio.NewWriterSize(out, 64<<10)}
	end, err := live.Run(live.Command{
		Path:        path,
		Argv:        args,
		Env:         os.Environ(),
		FollowForks: a.followForks,
		Dying:       r.dying,
		Ended:       r.ended,
		Unwatched: func(err error) {
			a.errorf("%s runs unwatched: %v (in a container, run it with the capability SYS_PTRACE)", args[0], err)
		},
	})
	if err := out.end(nil); err != nil {
		a.errorf("%v", err)
	}
	switch {
	case err != nil:
		a.cannotRun(args[0], err)
	case end.Signo != 0:
		if a.propagate {
			dieOf(end.Signo)
		}
		a.status = exitSignal + end.Signo
	default:
		a.status = end.Status
	}
}

// cannotRun says why a command could not be started.
func (a *app) cannotRun(name string, err error) {
	var reason error
	if e := new(exec.Error); errors.As(err, &e) {
		reason = e.Err
	}
	if e := new(os.PathError); errors.As(err, &e) {
		reason = e.Err
	}
	if reason == nil {
		a.status = exitRunFailed
		a.errorf("%s: %v", name, err)
		return
	}
	a.status = exitNotExecutable
	if errors.Is(reason, exec.ErrNotFound) || errors.Is(reason, unix.ENOENT) {
		a.status = exitNotFound
	}
	a.errorf("%s: %v", name, reason)
}

// deaths prints reports.
type deaths struct {
	run *runCommand
	out *output
	w   *bufio.Writer
}

// dying prints the report of a process that is about to die.
func (r *deaths) dying(d *live.Dying) {
	defer r.flush()
	// The command must go on, whatever happens here.
	err := guard.Read(func() error { return r.report(d) })
	var bug *guard.Bug
	if err != nil && !errors.As(err, &bug) { // a Bug has been reported
		r.run.errorf("%v", err)
	}
}

func (r *deaths) report(d *live.Dying) error {
	a, p := r.run, d.Process
	o := session.StackOptions{First: d.TID, MaxFrames: a.maxFrames, Waits: a.waits, Kernel: a.kernel}
	if !a.allThreads {
		o.TIDs = []int{d.TID}
	}
	stacks, err := a.session().Stop(context.Background(), p, o)
	if err != nil {
		return err
	}
	defer stacks.Close()
	cause := fault.Explain(death(d, stacks.Taken))
	trace.Died(stacks.Model, &cause)
	f := a.newFormat(r.w, r.out)
	a.print(f, stacks)
	f.Close()
	return nil
}

// death is what is known of a process that is about to die.
func death(d *live.Dying, stacks *snapshot.Stacks) fault.Death {
	f := fault.Death{PID: d.Process.PID, Signo: d.Signo, Info: siginfo(d.Siginfo), Maps: stacks.Space.Maps}
	for i := range stacks.Threads {
		t := &stacks.Threads[i]
		if t.TID != d.TID || t.Arch == nil || !t.HasRegs {
			continue
		}
		f.Arch, f.Regs = t.Arch, &t.Regs
		if pc, ok := t.Regs.Get(t.Arch.PC); ok {
			f.Code, f.CodeAddr = fault.ReadCode(d.Process.ReadMemory, pc)
		}
	}
	return f
}

// siginfo reads a siginfo_t of bt's own kernel.
func siginfo(b []byte) *fault.Siginfo {
	if s, ok := fault.ParseSiginfo(b, binary.NativeEndian, 8); ok {
		return &s
	}
	return nil
}

// ended prints one line about a process that died without a report.
func (r *deaths) ended(e *live.Ended) {
	if e.Reported {
		return
	}
	cause := fault.Explain(fault.Death{PID: e.PID, Signo: e.Signo, Info: siginfo(e.Siginfo)})
	fmt.Fprintf(r.w, "# process %d %s\n", e.PID, trace.DeathText(&cause))
	r.flush()
}

func (r *deaths) flush() {
	err := r.w.Flush()
	if err == nil {
		// bt, too, can be killed before the command has ended.
		err = r.out.place()
	}
	if err != nil {
		r.run.errorf("%v", err)
		r.w.Reset(r.out)
	}
}

// dieOf ends bt by a signal, without a core of its own. It returns if that does
// not end it.
func dieOf(signo int) {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	live.Raise(unix.Signal(signo))
}
