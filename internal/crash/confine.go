package crash

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the worker.
const (
	// softMemory is the heap, in bytes, from which on the garbage collector
	// does all it can; hardMemory is where it ends.
	softMemory = 256 << 20
	hardMemory = 1 << 30
	nobody     = 65534
)

// noCore keeps the kernel from calling the handler for the handler. For a
// handler in a pipe a limit of 0 would not do: only 1 is taken as a sign
// (fs/coredump.c: "RLIMIT_CORE of 1 is a special value").
func noCore() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}

// Confine gives up all that the worker does not need, for good: root, for the
// user of the crashed process or, where that is root, for nobody. It must come
// before the core or a mapped file is looked at.
//
// The process becomes that user's only here, when it is root already and not in
// the exec before: exec would leave it open to ptrace by that user, and the core
// of a setuid program is not for them. From now on it cannot be traced or
// dumped. (prctl(2): a change of user sets "dumpable" to fs.suid_dumpable; only
// where that is 1 there is a moment in between.) No new privileges can be
// gained: the handler has set this before the exec.
func (j *Job) Confine() error {
	debug.SetMemoryLimit(softMemory)
	if err := noCore(); err != nil {
		return err
	}
	seconds := uint64(j.Timeout/time.Second) + 1
	for _, l := range []struct {
		which int
		limit uint64
	}{
		{unix.RLIMIT_FSIZE, 0}, // pipes have no size
		{unix.RLIMIT_DATA, hardMemory},
		{unix.RLIMIT_CPU, 4 * seconds}, // of all threads
	} {
		if err := unix.Setrlimit(l.which, &unix.Rlimit{Cur: l.limit, Max: l.limit}); err != nil {
			return err
		}
	}
	if err := undumpable(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil // started by hand: there is nothing to give up
	}
	uid, gid := j.Request.UID, j.Request.GID
	if uid <= 0 {
		uid, gid = nobody, nobody
	}
	if gid <= 0 {
		gid = nobody
	}
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setresgid(gid, gid, gid) },
		func() error { return syscall.Setresuid(uid, uid, uid) },
		undumpable,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("root's privileges could not be given up: %w", err)
		}
	}
	if syscall.Setresuid(0, 0, 0) == nil {
		return fmt.Errorf("root's privileges could not be given up")
	}
	return nil
}

func undumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
