//go:build linux

package live

import (
	"os"
	"os/signal"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/procfs"
)

// ownSignals are the signals that bt itself is sent while it runs a command.
type ownSignals struct {
	ch        chan os.Signal
	process   guarded
	continued atomic.Bool // bt has received a SIGCONT
	at        [32]atomic.Int64
}

// passedOn are the signals that a command is meant to get. From its terminal, or
// sent to a process group, it gets them itself.
var passedOn = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTSTP,
}

// apart is how long it may take, with room to spare, until a signal that was
// sent to a process group has reached both bt and its command.
const apart = 20 * time.Millisecond

// catchSignals keeps signals from ending bt before its command. What bt was
// told to ignore stays ignored: the command inherits that.
func catchSignals() *ownSignals {
	s := &ownSignals{ch: make(chan os.Signal, 16)}
	for _, sig := range passedOn {
		if !ignored(sig) {
			signal.Notify(s.ch, sig)
		}
	}
	// SIGTTIN stops bt only if it stops its command; with SIGPIPE caught,
	// writing to a pipe that nobody reads is an error and no death.
	signal.Notify(s.ch, unix.SIGCONT, unix.SIGPIPE)
	if !ignored(unix.SIGTTIN) {
		signal.Notify(s.ch, unix.SIGTTIN)
	}
	return s
}

// action is a struct sigaction of the kernel: handler, flags, …, with room.
type action [8]uintptr

const (
	sigDfl = 0
	sigIgn = 1
)

// setAction sets a signal's action past the Go runtime, whose signal.Reset
// leaves its handler in place for some signals. Each argument may be nil.
func setAction(sig unix.Signal, act, old *action) unix.Errno {
	const setSize = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), setSize, 0, 0)
	return errno
}

// ignored reports whether bt ignores a signal.
func ignored(sig unix.Signal) bool {
	var act action
	return setAction(sig, nil, &act) == 0 && act[0] == sigIgn
}

// serve begins to pass signals on to the process.
func (s *ownSignals) serve(pid int) {
	s.process.set(pid)
	go guard.Run(func() {
		for sig := range s.ch {
			switch sig := sig.(unix.Signal); sig {
			case unix.SIGCONT:
				s.continued.Store(true)
			case unix.SIGPIPE, unix.SIGTTIN:
			default:
				at := time.Now()
				go guard.Run(func() { s.passOn(sig, at) })
			}
		}
	})
}

// passOn sends the command a signal that bt has received, unless it has received
// the same one itself.
func (s *ownSignals) passOn(sig unix.Signal, at time.Time) {
	time.Sleep(apart)
	if since := at.Add(-apart).UnixNano(); s.at[sig].Load() < since && !s.typed(sig) {
		s.process.kill(sig)
	}
}

// typed reports whether a signal is one that the terminal sends, to bt and its
// command alike. A command that takes it by sigwait or signalfd does so unseen.
func (s *ownSignals) typed(sig unix.Signal) bool {
	switch sig {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP:
	default:
		return false
	}
	s.process.Lock()
	defer s.process.Unlock()
	return s.process.pid != 0 && inForeground(s.process.pid)
}

// inForeground reports whether bt and a process are both in the process group to
// which the terminal sends its signals.
func inForeground(pid int) bool {
	fd, err := procfs.Dir(unix.AT_FDCWD).Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	theirs, err2 := unix.Getpgid(pid)
	return err == nil && err2 == nil && group == theirs && group == unix.Getpgrp()
}

// seen notes that the command has received a signal.
func (s *ownSignals) seen(sig int) {
	if sig < len(s.at) {
		s.at[sig].Store(time.Now().UnixNano())
	}
}

// suspend stops bt, after its command has been stopped by sig, if that is from a
// terminal: the shell that waits for bt is to notice.
func (s *ownSignals) suspend(sig int) {
	switch unix.Signal(sig) {
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
	default:
		return
	}
	pid := s.process.pid
	if !hasTerminal() || changes(pid, 5) {
		return // nobody would continue bt; or it goes on already
	}
	s.continued.Store(false)
	stop := unix.Signal(sig)
	var caught action
	setAction(stop, &action{sigDfl}, &caught)
	// To this very thread: it is delivered before the call returns. The
	// kernel does not stop a process group that nobody controls.
	unix.Tgkill(unix.Getpid(), unix.Gettid(), stop)
	for i := 0; i < 20 && !s.continued.Load(); i++ {
		pause(time.Millisecond)
	}
	setAction(stop, &caught, nil)
	// A shell continues the process group. Whoever continues bt alone means
	// its command.
	if s.continued.Load() && !changes(pid, 20) {
		s.process.kill(unix.SIGCONT)
	}
}

// Raise has bt itself receive a signal with its default action. It returns if
// that does not end bt.
func Raise(sig unix.Signal) {
	setAction(sig, &action{sigDfl}, nil)
	unix.Kill(unix.Getpid(), sig)
	pause(time.Second) // another thread may be the one that receives it
}

// hasTerminal reports whether bt has a controlling terminal.
func hasTerminal() bool {
	fd, err := procfs.Dir(unix.AT_FDCWD).Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// changes reports whether a tracee leaves its group-stop within ms milliseconds.
func changes(tid, ms int) bool {
	for range ms {
		if st, _ := poll(tid); st != running {
			return true
		}
		pause(time.Millisecond)
	}
	return false
}
