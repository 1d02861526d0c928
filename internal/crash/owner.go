//go:build linux

package crash

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// rootOwner is the owner of root's own processes.
const rootOwner = "uid-0"

// owner says on whose account a crash goes: the user, and for processes in a
// container the container. A user namespace that a user has made, in which he
// can have thousands of user IDs, is that user's; one of root's, and a PID
// namespace (which only root makes outside of a user namespace), are a container
// of its own, whose root is not the machine's.
//
// It is the text "uid-N" or "ns-INODE".
func (d procDir) owner(uid int) string {
	user := fmt.Sprintf("uid-%d", uid)
	if id, by, ok := d.userNamespace(); ok {
		if by != 0 {
			return fmt.Sprintf("uid-%d", by)
		}
		return fmt.Sprintf("ns-%d", id)
	}
	if uid != 0 {
		return user
	}
	theirs, ok := inode(d.fd, "ns/pid")
	ours, ok2 := inode(unix.AT_FDCWD, "/proc/self/ns/pid")
	if ok && ok2 && theirs != ours {
		return fmt.Sprintf("ns-%d", theirs)
	}
	return user
}

// userNamespace finds the outermost user namespace around the process that is not
// ours: its inode, and the user who made it. ok is false where the process is in
// ours.
func (d procDir) userNamespace() (id uint64, by int, ok bool) {
	ours, known := inode(unix.AT_FDCWD, "/proc/self/ns/user")
	fd, err := unix.Openat(d.fd, "ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil || !known {
		return 0, 0, false
	}
	const depth = 32 // of user namespaces in the kernel (kernel/user_namespace.c)
	for range depth + 1 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Ino == ours {
			break
		}
		uid, err := namespaceOwner(fd)
		if err != nil {
			break
		}
		id, by, ok = st.Ino, uid, true
		parent, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		unix.Close(fd)
		if err != nil {
			return id, by, ok
		}
		fd = parent
	}
	unix.Close(fd)
	return id, by, ok
}

func inode(dir int, path string) (uint64, bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, path, &st, 0); err != nil {
		return 0, false
	}
	return st.Ino, true
}

// namespaceOwner is the user, as we number users, who made a user namespace
// (ioctl_nsfs(2)).
func namespaceOwner(fd int) (int, error) {
	uid, err := unix.IoctlGetUint32(fd, unix.NS_GET_OWNER_UID)
	return int(uid), err
}

// pidOfPidfd is the process that a pidfd stands for, as fdinfo tells it; -1 if it
// was waited for already.
func pidOfPidfd(fd int) (int, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, false
	}
	fields := statusLine(data, "Pid:")
	if len(fields) == 0 {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[0])
	return pid, err == nil
}
