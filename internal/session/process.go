//go:build linux

package session

import (
	"os"
	"strconv"
	"sync"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/jitmap"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// ProcessNames says how the addresses of a running process with the mappings m are
// named: also by what its JIT compilers tell, and by debug files in the root
// directory that it sees. What it opens is released by done, after which nothing
// new can be named.
func (s *Session) ProcessNames(p *live.Process, m *maps.Map) (o symbolize.Options, done func()) {
	o, _, done = s.processNames(p, m)
	return o, done
}

// Source returns the files and the memory of a process.
func (s *Session) Source(p *live.Process) image.Source {
	return snapshot.Source(p, s.options.Sysroot)
}

// processNames is ProcessNames, and returns what opens files in the process's root.
func (s *Session) processNames(p *live.Process, m *maps.Map) (o symbolize.Options, open func(path string) (*os.File, error), done func()) {
	o = s.Names(m)
	open = procfs.Open
	root := &rootDir{path: s.options.Procfs + "/" + strconv.Itoa(p.PID) + "/root"}
	if !s.sameRoot(p.PID) {
		path, _ := os.Readlink(root.path)
		o.Debug = s.files.In(root.open, path)
		open = root.open
	}
	s.excerpts(&o, open)
	jit, err := jitmap.Open(p.PID, s.options.Procfs, m)
	if err != nil {
		s.note("%v", err)
	} else {
		jit.Note = func(err error) { s.note("%v", err) }
	}
	o.Process = &symbolize.Process{JIT: jit, Kernel: s.kernel}
	return o, open, func() {
		if jit != nil {
			jit.Close()
		}
		root.close()
	}
}

// sameRoot reports whether a process sees the same files as bt.
func (s *Session) sameRoot(pid int) bool {
	dir := s.options.Procfs + "/" + strconv.Itoa(pid)
	return sameFile("/", dir+"/root/.") && sameFile("/proc/self/ns/mnt", dir+"/ns/mnt")
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// rootDir is a root directory that is opened when a file in it is first asked for.
type rootDir struct {
	path string

	mu     sync.Mutex
	closed bool
	root   *procfs.Root
}

func (d *rootDir) open(path string) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root == nil && !d.closed {
		r, err := procfs.OpenRoot(d.path)
		if err != nil {
			return nil, err
		}
		d.root = r
	}
	if d.closed {
		return nil, os.ErrClosed
	}
	return d.root.Open(path)
}

func (d *rootDir) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		d.root.Close()
	}
	d.root, d.closed = nil, true
}
