//go:build linux

package crash

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime/debug"
	"strconv"
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
)

// noCore keeps the kernel from calling the handler for the handler. For a
// handler in a pipe a limit of 0 would not do: only 1 is taken as a sign
// (fs/coredump.c: "RLIMIT_CORE of 1 is a special value").
func noCore() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}

// workerUser is the system user whose rights the worker has, where the machine
// has one of that name.
const workerUser = "bt-crash"

// Where there is no such user the worker has one of these IDs. No distribution
// and no service manager gives them to anybody ("unused" in systemd's table of
// user IDs, reserved by Debian's policy).
const (
	firstSpareUID = 65520
	lastSpareUID  = 65533
)

// workerIDs are the IDs of user and group that the worker of a crash of user
// crashed gets: never root's, and never the crashed process's. slot tells apart
// workers that run at the same time.
func workerIDs(slot, crashed int) (uid, gid int) {
	if u, err := user.Lookup(workerUser); err == nil {
		uid, uerr := strconv.Atoi(u.Uid)
		gid, gerr := strconv.Atoi(u.Gid)
		if uerr == nil && gerr == nil && uid > 0 && gid > 0 && uid != crashed {
			return uid, gid
		}
	}
	const spare = lastSpareUID - firstSpareUID + 1
	id := firstSpareUID + slot%spare
	if id == crashed {
		id = firstSpareUID + (slot+1)%spare
	}
	return id, id
}

// Confine gives up all that the worker does not need, for good. It must come
// before the core or a mapped file is looked at.
//
// The worker becomes a user of its own, not the crashed process's: nobody else
// can then signal, trace, slow down or stop it, nor read through it what a
// set-user-ID program had in memory (credentials(7): the right to do so is the
// right of the same user). That is enough where all else is missing. Beside it
// the process cannot be dumped (first when only its effective user has changed,
// as the kernel sets "dumpable" to fs.suid_dumpable at that change alone, and
// the real user is still root: at no moment anybody but root may trace it), can
// gain no privileges by exec (the handler has set this), and a system call
// filter leaves it neither sockets nor processes nor a file to write to.
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
	if os.Geteuid() == 0 { // else it was started by hand: there is nothing to give up
		if err := becomeUser(j.UID, j.GID); err != nil {
			return fmt.Errorf("root's privileges could not be given up: %w", err)
		}
	}
	return j.filterCalls()
}

func becomeUser(uid, gid int) error {
	if uid <= 0 || gid <= 0 {
		return fmt.Errorf("there is no user %d, group %d for what reads the core", uid, gid)
	}
	const same = -1
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setresgid(gid, gid, gid) },
		func() error { return syscall.Setresuid(same, uid, same) },
		undumpable,
		func() error { return syscall.Setresuid(uid, uid, uid) },
		undumpable,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if syscall.Setresuid(0, 0, 0) == nil {
		return errors.New("the kernel gives them back")
	}
	return nil
}

func undumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
