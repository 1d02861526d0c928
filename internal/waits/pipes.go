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

// pipeEnd is a descriptor of a pipe, or of a socket.
type pipeEnd struct {
	pid, fd       int
	reads, writes bool
}

// pipeEnds are the ends of all pipes, and all sockets, by what the kernel calls these.
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
	p.complete = eachFD(proc, deadline, func(d *openFDs, fd int) bool {
		name := strconv.Itoa(fd)
		link := d.dir.Readlink(name)
		if strings.HasPrefix(link, "socket:[") {
			p.n++
			p.by[link] = append(p.by[link], pipeEnd{pid: d.pid, fd: fd})
			return p.n < maxEnds
		}
		if !strings.HasPrefix(link, "pipe:[") && !strings.HasPrefix(link, "/") {
			return true
		}
		var st unix.Stat_t
		if link[0] == '/' {
			// A FIFO has a path.
			if unix.Fstatat(int(d.dir), name, &st, 0) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
				return true
			}
		}
		// The link's own permissions say how it was opened (proc_fd_link).
		if unix.Fstatat(int(d.dir), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			p.n++
			p.by[link] = append(p.by[link], pipeEnd{pid: d.pid, fd: fd, reads: st.Mode&0o400 != 0, writes: st.Mode&0o200 != 0})
		}
		return p.n < maxEnds
	})
}

// openFDs is the list of descriptors of a process, of PROCFS/PID/fd.
type openFDs struct {
	pid     int
	process procfs.Dir
	dir     procfs.Dir
}

// eachFD calls f with the descriptors of all processes until it reports false. It
// reports whether none was left out.
func eachFD(proc string, deadline time.Time, f func(d *openFDs, fd int) bool) bool {
	dir, err := os.Open(proc)
	if err != nil {
		return false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	complete := err == nil
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		d, err := procfs.OpenPID(proc, pid)
		if err != nil {
			continue
		}
		all, more := fdsOf(d, pid, deadline, f)
		d.Close()
		complete = complete && all
		if !more {
			return false
		}
	}
	return complete
}

// fdsOf calls f with the descriptors of one process. complete is false where some were
// left out, more where none is wanted any more.
func fdsOf(d procfs.Dir, pid int, deadline time.Time, f func(d *openFDs, fd int) bool) (complete, more bool) {
	l, err := d.OpenFDs(32 << 10)
	if err != nil {
		return err == unix.ENOENT, true
	}
	defer l.Dir.Close()
	list, err := l.List()
	complete = err == nil || err == unix.ENOENT // it has ended
	o := &openFDs{pid: pid, process: d, dir: l.Dir}
	for i, fd := range list {
		if i == maxFDs {
			return false, true
		}
		if i%64 == 0 && time.Now().After(deadline) || !f(o, fd) {
			return false, false
		}
	}
	return complete, true
}

// lockHolders are the processes that have a file locked by a descriptor that they have
// inherited: fdinfo tells the locks of each.
func (f *files) lockHolders(o fdObject, l fileLock) (list []stack.Party) {
	eachFD(f.run.procfs, time.Now().Add(searchTime), func(d *openFDs, fd int) bool {
		if d.dir.Readlink(strconv.Itoa(fd)) != o.link || len(list) > 0 && list[len(list)-1].PID == d.pid {
			return true
		}
		b, err := d.process.ReadUpTo("fdinfo/"+strconv.Itoa(fd), 1024, maxInfo)
		if err != nil || !hasLock(string(b), l) {
			return true
		}
		if p, ok := f.process(d.pid); ok {
			p.FD = &fd
			list = append(list, p)
		}
		return len(list) < maxChildren
	})
	return list
}

// hasLock reports whether an fdinfo tells of a lock: "lock:\t" and a line as in
// /proc/locks.
func hasLock(info string, l fileLock) bool {
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(line, "lock:"); ok {
			for _, have := range parseLocks(rest) {
				if have.kind == l.kind && have.file == l.file && have.pid == l.pid && !have.waits {
					return true
				}
			}
		}
	}
	return false
}
