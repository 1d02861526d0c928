package jitmap

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/maps"
)

// ErrNone is the error for a process of which there is neither a perf map nor a
// jitdump file.
var ErrNone = errors.New("no perf map and no jitdump file")

// maxDumps is how many jitdump files of one process are read.
const maxDumps = 4

// Source is what the JIT compilers in a process tell about their code. Lookup
// may be called by any number of goroutines, also while Refresh runs.
type Source struct {
	mu    sync.Mutex // for Refresh and Close
	proc  *process
	files []*file // those that are asked first come first
}

// file is a file of a Source.
type file struct {
	path  string // as the process sees it
	open  func() (*os.File, error)
	id    fileID
	g     growing
	table atomic.Pointer[Table]
}

// Find looks for the perf map and the jitdump files of a process and reads them.
// procfs is where procfs is mounted, pid the process's number there, and mm
// holds its mappings. The error is ErrNone where there is nothing to read. It
// may come together with a Source: it then tells what was refused, or not read
// to its end. The caller closes the Source.
//
// A perf map is /tmp/perf-PID.map below the process's root, PID being its number
// in its own PID namespace. Since anybody may make a file of that name, it must
// belong to the process's user or to root, and have been written to after the
// process started: a number is used again, first of all in containers.
//
// A jitdump file is known by its marker, an executable mapping of the file
// jit-PID.dump; whatever else has that name is not it.
func Find(pid int, procfs string, mm *maps.Map) (*Source, error) {
	proc, err := openProcess(pid, procfs)
	if err != nil {
		return nil, err
	}
	s := &Source{proc: proc}
	for _, m := range markers(mm, proc.pids) {
		s.files = append(s.files, &file{
			path: m.Path,
			open: func() (*os.File, error) { return proc.openMapped(m) },
			g:    growing{fresh: func() reader { return new(dump) }},
		})
	}
	name := "/tmp/perf-" + strconv.Itoa(proc.pids[len(proc.pids)-1]) + ".map"
	s.files = append(s.files, &file{
		path: name,
		open: func() (*os.File, error) { return proc.openPerfMap(name) },
		g:    growing{fresh: func() reader { return new(perfMap) }},
	})
	if _, err = s.Refresh(); s.empty() {
		s.Close()
		if err == nil {
			err = ErrNone
		}
		return nil, err
	}
	return s, err
}

// markers returns the mappings that mark jitdump files. A child inherits the
// marker of its parent, whose code it does not share: the number in the name
// must be one of the process's own.
func markers(mm *maps.Map, pids []int) []*maps.Mapping {
	var out []*maps.Mapping
	for i := range mm.Entries {
		m := &mm.Entries[i]
		if m.Perm&maps.Exec == 0 || !m.IsFile() || len(out) == maxDumps {
			continue
		}
		number, ok := strings.CutPrefix(path.Base(m.Path), "jit-")
		if !ok {
			continue
		}
		if number, ok = strings.CutSuffix(number, ".dump"); !ok {
			continue
		}
		pid, err := strconv.Atoi(number)
		if err != nil || !slices.Contains(pids, pid) {
			continue
		}
		again := func(o *maps.Mapping) bool { return o.Dev == m.Dev && o.Inode == m.Inode }
		if !slices.ContainsFunc(out, again) {
			out = append(out, m)
		}
	}
	return out
}

// Lookup finds the function that holds addr, an address of the process, and
// where it begins. from is the file that told it, as the process sees it.
func (s *Source) Lookup(addr uint64) (name string, start uint64, from string, ok bool) {
	for _, f := range s.files {
		if t := f.table.Load(); t != nil {
			if name, start, ok := t.Lookup(addr); ok {
				return name, start, f.path, true
			}
		}
	}
	return "", 0, "", false
}

// Refresh reads what has been added to the files, and a file anew that has been
// replaced; it reports whether anything has changed. It does not look for markers
// anew: that takes another Find. With an error, and after the end of the
// process, what is known stays known.
func (s *Source) Refresh() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		fc, err := f.refresh()
		changed = changed || fc
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", f.path, err))
		}
	}
	return changed, errors.Join(errs...)
}

func (f *file) refresh() (changed bool, err error) {
	r, err := f.open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	id, size, err := identify(r)
	if err != nil {
		return false, err
	}
	if id != f.id {
		f.id, f.g.stale = id, true
	}
	changed, err = f.g.update(r, size)
	if changed || f.table.Load() == nil {
		f.table.Store(f.g.b.table())
		changed = true
	}
	return changed, err
}

// empty reports whether no file could be read.
func (s *Source) empty() bool {
	for _, f := range s.files {
		if t := f.table.Load(); t != nil && (t.Len() > 0 || f.g.rd.offset() > 0) {
			return false
		}
	}
	return true
}

// Close lets go of the process. What is known stays known, Refresh fails.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Close()
}
