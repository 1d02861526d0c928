//go:build linux

package waits

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/stack"
)

// What the search for the ends of pipes may cost. It looks at the descriptors of all
// processes, once for all targets.
const (
	searchTime  = time.Second
	searchFresh = time.Second // as long as what it found serves again
	maxFDs      = 1 << 17     // of one process
	maxEnds     = 1 << 18
)

// pipeEnd is a descriptor of a pipe.
type pipeEnd struct {
	pid, fd       int
	reads, writes bool
}

// pipeEnds are the ends of all pipes, by what the kernel calls these.
type pipeEnds struct {
	at       time.Time
	by       map[string][]pipeEnd
	complete bool // no process was left out
	n        int
}

// otherEnd is who holds the end of a pipe that a reader, or a writer, waits for. all is
// set where none can be missing.
func (f *files) otherEnd(o fdObject, writes bool) (list []stack.Party, all bool) {
	ends := f.run.ends()
	names := make(map[int]int) // index in list by PID
	for _, e := range ends.by[o.link] {
		if wanted := e.writes && !writes || e.reads && writes; !wanted {
			continue
		}
		if _, ok := names[e.pid]; ok {
			continue
		}
		if o.ino != 0 && !f.sameFile(e, o) {
			continue
		}
		if p, ok := f.process(e.pid); ok {
			fd := e.fd
			p.FD = &fd
			names[e.pid] = len(list)
			list = append(list, p)
		}
	}
	return list, ends.complete && len(list) > 0
}

// sameFile reports whether a descriptor elsewhere is of a FIFO with a name.
func (f *files) sameFile(e pipeEnd, o fdObject) bool {
	var st unix.Stat_t
	path := f.run.procfs + "/" + strconv.Itoa(e.pid) + "/fd/" + strconv.Itoa(e.fd)
	return unix.Stat(path, &st) == nil && uint64(st.Dev) == o.dev && st.Ino == o.ino
}

// ends searches all processes, unless that was done just before.
func (r *Run) ends() *pipeEnds {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipes != nil && time.Since(r.pipes.at) < searchFresh {
		return r.pipes
	}
	p := &pipeEnds{by: make(map[string][]pipeEnd), complete: true}
	p.search(r.procfs, time.Now().Add(searchTime))
	p.at = time.Now()
	r.pipes = p
	return p
}

func (p *pipeEnds) search(proc string, deadline time.Time) {
	dir, err := os.Open(proc)
	if err != nil {
		p.complete = false
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	p.complete = err == nil
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if time.Now().After(deadline) || p.n >= maxEnds {
			p.complete = false
			return
		}
		if d, err := procfs.OpenPID(proc, pid); err == nil {
			p.process(d, pid, deadline)
			d.Close()
		}
	}
}

// process adds the pipes of one process.
func (p *pipeEnds) process(d procfs.Dir, pid int, deadline time.Time) {
	l, err := d.OpenFDs(32 << 10)
	if err != nil {
		p.complete = p.complete && err == unix.ENOENT
		return
	}
	fds := l.Dir
	defer fds.Close()
	list, err := l.List()
	if err == unix.ENOENT {
		return // it has ended
	}
	p.complete = p.complete && err == nil
	for i, fd := range list {
		if i%256 == 255 && time.Now().After(deadline) || i == maxFDs || p.n >= maxEnds {
			p.complete = false
			return
		}
		name := strconv.Itoa(fd)
		link := fds.Readlink(name)
		if !strings.HasPrefix(link, "pipe:[") && !strings.HasPrefix(link, "/") {
			continue
		}
		var st unix.Stat_t
		if link[0] == '/' {
			// A FIFO has a path.
			if unix.Fstatat(int(fds), name, &st, 0) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
				continue
			}
		}
		// The link's own permissions say how it was opened (proc_fd_link).
		if unix.Fstatat(int(fds), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		p.n++
		p.by[link] = append(p.by[link], pipeEnd{pid: pid, fd: fd, reads: st.Mode&0o400 != 0, writes: st.Mode&0o200 != 0})
	}
}
