package jitmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/maps"
)

// process is a directory of procfs. While it is open its number can be used
// again without harm: what is looked up in it fails once the process is gone.
type process struct {
	dir   *os.File
	pids  []int // its number in the namespace of procfs first, in its own last
	uid   uint32
	start time.Time // zero if it is not known
}

func openProcess(pid int, procfs string) (*process, error) {
	dir, err := os.OpenFile(filepath.Join(procfs, strconv.Itoa(pid)), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	status, err := p.read("status")
	if err == nil {
		err = p.status(status, pid)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	if stat, err := p.read("stat"); err == nil {
		p.start = startTime(stat)
	}
	return p, nil
}

func (p *process) Close() error { return p.dir.Close() }

// read returns what a small file of the directory holds.
func (p *process) read(name string) ([]byte, error) {
	fd, err := p.openat(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	b := make([]byte, 16<<10)
	n, err := f.Read(b)
	return b[:n], err
}

// status takes the numbers and the user out of /proc/PID/status. NSpid is there
// since Linux 4.1. Name, which is the process's own choice, has its newlines
// escaped.
func (p *process) status(text []byte, pid int) error {
	p.pids = []int{pid}
	known := false
	for line := range bytes.Lines(text) {
		key, rest, _ := bytes.Cut(line, []byte(":"))
		fields := strings.Fields(string(rest))
		switch string(key) {
		case "Uid": // real, effective, saved, file system
			if len(fields) >= 2 {
				uid, err := strconv.ParseUint(fields[1], 10, 32)
				p.uid, known = uint32(uid), err == nil
			}
		case "NSpid":
			for _, f := range fields {
				if n, err := strconv.Atoi(f); err == nil && n > 0 && n != pid {
					p.pids = append(p.pids, n)
				}
			}
		}
	}
	if !known {
		return errors.New("its status does not tell its user")
	}
	return nil
}

// userHZ is the unit of times in procfs, USER_HZ, on all but the oldest CPUs.
const userHZ = 100

// startTime finds out when a process started, by the text of /proc/PID/stat.
// Field 22 counts from the start of the machine, with the time asleep; its
// second field, in parentheses, may hold anything.
func startTime(stat []byte) time.Time {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return time.Time{}
	}
	fields := strings.Fields(string(stat[i+1:]))
	if len(fields) < 20 {
		return time.Time{}
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	var now unix.Timespec
	if err != nil || ticks < 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return time.Time{}
	}
	age := time.Duration(now.Nano()) - time.Duration(ticks)*(time.Second/userHZ)
	return time.Now().Add(-age)
}

// slack allows for times that count in ticks.
const slack = time.Second

// openPerfMap opens a perf map below the process's root, if it can be trusted.
func (p *process) openPerfMap(path string) (*os.File, error) {
	root, err := p.openat("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	f, st, err := openBelow(root, path, unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	switch written := time.Unix(st.Mtim.Unix()); {
	case st.Uid != p.uid && st.Uid != 0:
		err = fmt.Errorf("belongs to user %d, neither the process's (%d) nor root", st.Uid, p.uid)
	case !p.start.IsZero() && written.Before(p.start.Add(-slack)):
		err = errors.New("is older than the process: left behind by another one of the same number")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openMapped opens the file that m maps: by the kernel's own link, which needs
// CAP_CHECKPOINT_RESTORE, or by its path.
func (p *process) openMapped(m *maps.Mapping) (*os.File, error) {
	link := "map_files/" + strconv.FormatUint(m.Start, 16) + "-" + strconv.FormatUint(m.End, 16)
	if f, st, err := openRegular(link, p.openat); err == nil {
		// The device is not compared: btrfs and overlayfs show another one
		// in maps than in stat.
		if st.Ino == m.Inode {
			return f, nil
		}
		f.Close()
	}
	root, err := p.openat("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	paths := []string{m.Path}
	// Paths in maps count from the top of the mount namespace: below a chroot
	// they begin with its path.
	if top, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(root)); err == nil && top != "/" {
		if below, ok := strings.CutPrefix(m.Path, top+"/"); ok {
			paths = append(paths, below)
		}
	}
	for _, path := range paths {
		f, st, openErr := openBelow(root, path, 0)
		if openErr != nil {
			err = openErr
			continue
		}
		if st.Ino == m.Inode && maps.MakeDev(unix.Major(st.Dev), unix.Minor(st.Dev)) == m.Dev {
			return f, nil
		}
		f.Close()
		err = errors.New("not the file that is mapped")
	}
	return nil, err
}
