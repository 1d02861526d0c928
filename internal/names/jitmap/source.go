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
	"time"

	"github.com/gatedso/bt/maps"
)

// maxDumps is how many jitdump files of one process are read.
const maxDumps = 4

// Source is what the JIT compilers in a process tell about their code. Its
// methods are safe for concurrent use, except for Close.
type Source struct {
	// Note receives what was refused, or not read to its end, each error once
	// as long as it lasts. It must not change after the first Current.
	Note func(error)

	mu    sync.Mutex // for reading the files, and Close
	proc  *process
	files []*file // those that are asked first come first

	opened time.Time
	stale  atomic.Int64 // when, since then, to look at the files again
	noted  string
}

// file is a file of a Source.
type file struct {
	path  string // as the process sees it
	open  func() (*os.File, error)
	id    fileID
	g     growing
	table atomic.Pointer[Table]
}

// Open returns the source for a process: its perf map and its jitdump files,
// none of which has to be there, and none of which is read yet. procfs is where
// procfs is mounted, pid the process's number there, and mm holds its mappings.
// The caller closes the Source.
//
// A perf map is /tmp/perf-PID.map below the process's root, PID being its number
// in its own PID namespace. Since anybody may make a file of that name, it must
// belong to the process's user or to root, and have been written to after the
// process started: a number is used again, first of all in containers.
//
// A jitdump file is known by its marker, an executable mapping of the file
// jit-PID.dump; whatever else has that name is not it.
func Open(pid int, procfs string, mm *maps.Map) (*Source, error) {
	proc, err := openProcess(pid, procfs)
	if err != nil {
		return nil, err
	}
	s := &Source{proc: proc, opened: time.Now()}
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
	return s, nil
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

// How old what is known may become, and how much of the time goes into reading
// at most: one part in maxShare.
const (
	maxAge   = 10 * time.Millisecond
	maxShare = 10
)

// Current is Lookup in files that have just been read, or some milliseconds ago:
// a process that runs on compiles more, and puts other code in the place of what
// it has dropped. A map so large that reading takes long is read less often.
func (s *Source) Current(addr uint64) (name string, start uint64, from string, ok bool) {
	if time.Since(s.opened) >= time.Duration(s.stale.Load()) {
		s.renew()
	}
	return s.Lookup(addr)
}

func (s *Source) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Since(s.opened)
	if began < time.Duration(s.stale.Load()) {
		return // another goroutine has done it meanwhile
	}
	_, err := s.refresh()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != s.noted && err != nil && s.Note != nil {
		s.Note(err)
	}
	s.noted = text
	now := time.Since(s.opened)
	s.stale.Store(int64(now + max(maxAge, (maxShare-1)*(now-began))))
}

// Refresh reads what has been added to the files, and a file anew that has been
// replaced; it reports whether anything has changed. It does not look for markers
// anew: that takes another Open. With an error, and after the end of the
// process, what is known stays known.
func (s *Source) Refresh() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refresh()
}

func (s *Source) refresh() (changed bool, err error) {
	var errs []error
	for _, f := range s.files {
		fc, err := f.refresh()
		changed = changed || fc
		if pe := (*os.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
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

// Close lets go of the process. What is known stays known, Refresh fails.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Close()
}
