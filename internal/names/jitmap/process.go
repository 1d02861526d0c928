//go:build linux

package jitmap

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/maps"
)

// process is a directory of procfs. While it is open its number can be used
// again without harm: what is looked up in it fails once the process is gone.
type process struct {
	dir   procfs.Dir
	pids  []int // its number in the namespace of procfs first, in its own last
	uid   uint32
	start time.Time // zero if it is not known
}

func openProcess(pid int, proc string) (*process, error) {
	dir, err := procfs.OpenPID(proc, pid)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p := &process{dir: dir, pids: []int{pid}}
	status, err := dir.Status("status")
	ids, ok := status.UIDs()
	if err == nil && !ok {
		err = errors.New("its status does not tell its user")
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p.uid = ids[1] // the effective one
	for _, n := range status.NSpid() {
		if n != pid {
			p.pids = append(p.pids, n)
		}
	}
	if stat, err := dir.Stat("stat"); err == nil {
		p.start = stat.Started()
	}
	return p, nil
}

func (p *process) Close() error { return p.dir.Close() }

// slack allows for times that count in ticks.
const slack = time.Second

// openPerfMap opens a perf map below the process's root, if it can be trusted.
func (p *process) openPerfMap(path string) (*os.File, error) {
	root, err := p.dir.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, st, err := procfs.OpenRegular(path, func(flags int) (int, error) {
		return root.OpenFD(path, flags|unix.O_NOFOLLOW)
	})
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
	link := func(flags int) (int, error) { return p.dir.Open(procfs.MapFile(m.Start, m.End), flags) }
	if f, st, err := procfs.OpenRegular(m.Path, link); err == nil {
		// The device is not compared: btrfs and overlayfs show another one
		// in maps than in stat.
		if st.Ino == m.Inode {
			return f, nil
		}
		f.Close()
	}
	root, err := p.dir.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	paths := []string{m.Path}
	// Paths in maps count from the top of the mount namespace: below a chroot
	// they begin with its path.
	if top := p.dir.Readlink("root"); top != "" && top != "/" {
		if below, ok := strings.CutPrefix(m.Path, top+"/"); ok {
			paths = append(paths, below)
		}
	}
	for _, path := range paths {
		f, st, openErr := procfs.OpenRegular(path, func(flags int) (int, error) { return root.OpenFD(path, flags) })
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
