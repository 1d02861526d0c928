//go:build linux

package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/core"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// CoreFiles says where the files that a core file's process had mapped are.
type CoreFiles struct {
	Exe     string // the program; empty: where the core says it was
	Sysroot string // prefix of all paths but Exe; one that lacks there is taken without it
	// Open, if set, opens what is mapped in place of all paths: for a process
	// that is dying, whose own links to its files are there still and which
	// nobody can redirect.
	Open func(m *maps.Mapping) (f *os.File, via string, err error)
	// Maps, if not nil, is what /proc/PID/maps showed while the process was
	// still there: it says more than the core.
	Maps *maps.Map
	// Warn, if set, is told of a file that the user has named and that is
	// not the one that was mapped. It may be called by several goroutines.
	Warn func(format string, args ...any)
}

// CoreSource is the memory of a core file and the files that were mapped. It is
// safe for concurrent use. The caller must Close it, after all use of the
// modules that it serves.
type CoreSource struct {
	Maps *maps.Map // what was mapped

	f       *core.File
	files   CoreFiles
	program string                   // the path of the program in Maps
	heads   map[string]*maps.Mapping // by path: where the file's first byte is mapped

	mu     sync.Mutex
	ids    map[string][]byte
	opened map[string]*os.File // proven to be what was mapped; nil where that failed
	refuse sync.Once
}

// NewCoreSource returns the source for a core file, which must stay open.
func NewCoreSource(f *core.File, files CoreFiles) *CoreSource {
	s := &CoreSource{
		f: f, files: files,
		heads:  make(map[string]*maps.Mapping),
		ids:    make(map[string][]byte),
		opened: make(map[string]*os.File),
	}
	f.FindFiles(s.head)
	s.Maps, s.program = files.Maps, f.Program()
	if s.Maps == nil {
		s.Maps = f.Maps()
	}
	for i := range s.Maps.Entries {
		e := &s.Maps.Entries[i]
		if e.Offset == 0 && e.IsFile() && s.heads[e.Path] == nil {
			s.heads[e.Path] = e
		}
	}
	return s
}

// head returns the first page of the file that was mapped by the name given, and
// its path. A relative name is taken from the working directory: the process's
// own is not known.
func (s *CoreSource) head(name string, program bool) (path string, head []byte) {
	path, root := name, s.files.Sysroot
	if program && s.files.Exe != "" {
		path, root = s.files.Exe, ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if s.files.Open != nil {
		return path, nil // there is no mapping to open it by yet
	}
	f, err := procfs.In(root, path)
	if err != nil && root != "" {
		f, err = procfs.Open(path)
	}
	if err != nil {
		return path, nil
	}
	defer f.Close()
	head = make([]byte, firstPage)
	n, _ := f.ReadAt(head, 0)
	return path, head[:n]
}

// Program is the path of the program in Maps; empty if the core does not tell.
func (s *CoreSource) Program() string { return s.program }

// Close closes files that memory was read from.
func (s *CoreSource) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.opened {
		if f != nil {
			f.Close()
		}
	}
	clear(s.opened)
}

// place is where a mapped file may be.
type place struct {
	open  func() (f *os.File, via string, err error)
	name  string
	named bool // by the user: to refuse it is worth a warning
}

func in(root, path, via string) place {
	return place{name: filepath.Join(root, path), open: func() (*os.File, string, error) {
		f, err := procfs.In(root, path)
		return f, via, err
	}}
}

func (s *CoreSource) places(m *maps.Mapping) (list []place) {
	if s.files.Open != nil {
		return []place{{name: m.Path, open: func() (*os.File, string, error) { return s.files.Open(m) }}}
	}
	if s.files.Exe != "" && m.Path == s.program {
		exe := in("", s.files.Exe, "exe")
		exe.named = true
		list = append(list, exe)
	}
	if s.files.Sysroot != "" {
		list = append(list, in(s.files.Sysroot, m.Path, "sysroot"))
	}
	return append(list, in("", m.Path, "path"))
}

// OpenMapping implements image.Source. A file is the mapped one if it has the
// build ID that the core's memory shows, or, where that has none, the same
// first page; where the core holds not even that, the name must do.
func (s *CoreSource) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	var failed error
	for _, p := range s.places(m) {
		f, via, err := p.open()
		if err == nil {
			if err = s.compare(f, p.name, m); err == nil {
				return f, via, true, nil
			}
			f.Close()
		}
		if p.named && s.files.Warn != nil {
			s.refuse.Do(func() { s.files.Warn("%v", err) })
		}
		if failed == nil || !errors.Is(err, os.ErrNotExist) {
			failed = err
		}
	}
	return nil, "", false, failed
}

// compare tells why f, called name, is not the file that m maps; nil if it is.
func (s *CoreSource) compare(f *os.File, name string, m *maps.Mapping) error {
	if want := s.BuildID(m); want != nil {
		if got := image.FileBuildID(f); !bytes.Equal(got, want) {
			return fmt.Errorf("%s is not the file that was mapped as %s (build ID %x, mapped %x)", name, m.Path, got, want)
		}
		return nil
	}
	held, page := s.firstPage(m), make([]byte, firstPage)
	n, _ := f.ReadAt(page[:len(held)], 0)
	// Behind the end of a file its last page is zero.
	if !bytes.Equal(held[:n], page[:n]) || len(bytes.TrimLeft(held[n:], "\x00")) > 0 {
		return fmt.Errorf("%s is not the file that was mapped as %s: it begins otherwise", name, m.Path)
	}
	return nil
}

// firstPage is what the kernel dumps of an ELF image by default.
const firstPage = 4096

// firstPage returns what the core holds of the first page of the file behind m.
func (s *CoreSource) firstPage(m *maps.Mapping) []byte {
	head := s.heads[m.Path]
	if head == nil || head.Perm&maps.Write != 0 {
		return nil
	}
	page := make([]byte, min(firstPage, head.End-head.Start))
	n, _ := s.f.ReadMemory(head.Start, page)
	return page[:n]
}

// BuildID implements image.Source: the mapped image shows it in its first
// pages.
func (s *CoreSource) BuildID(m *maps.Mapping) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, known := s.ids[m.Path]
	if !known {
		if head := s.heads[m.Path]; head != nil {
			data := make([]byte, min(head.End-head.Start, 64<<10))
			n, _ := s.f.ReadMemory(head.Start, data)
			if im, err := elfsym.New(data[:n], m.Path); err == nil {
				id = im.BuildID()
			}
		}
		s.ids[m.Path] = id
	}
	return id
}

// ReadMemory implements image.Source. What the core has left out is read from
// the mapped file where that is proven to be the same and was not written to.
func (s *CoreSource) ReadMemory(addr uint64, b []byte) (int, error) {
	n, err := s.f.ReadMemory(addr, b)
	for n < len(b) {
		got := s.fromFile(addr+uint64(n), b[n:])
		if got == 0 {
			return n, err
		}
		n += got
		if n < len(b) {
			var k int
			k, err = s.f.ReadMemory(addr+uint64(n), b[n:])
			n += k
		}
	}
	return n, nil
}

// fromFile reads what the core does not hold at addr from the mapped file.
func (s *CoreSource) fromFile(addr uint64, b []byte) int {
	m := s.Maps.Find(addr)
	if m == nil || !m.IsFile() || m.Perm&maps.Write != 0 {
		return 0
	}
	same := s.proof(m)
	if same == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, known := s.opened[m.Path]
	if !known {
		if len(s.opened) >= maxOpened {
			return 0
		}
		for _, p := range s.places(m) {
			var err error
			if f, _, err = p.open(); err != nil {
				f = nil
				continue
			}
			if same(f) {
				break
			}
			f.Close()
			f = nil
		}
		s.opened[m.Path] = f
	}
	if f == nil {
		return 0
	}
	off := m.Offset + (addr - m.Start)
	if off > 1<<62 {
		return 0
	}
	n, _ := f.ReadAt(b[:min(uint64(len(b)), m.End-addr)], int64(off))
	return n
}

// proof returns what reports whether a file is certainly the one that m maps: by its
// build ID, or by its first page, where that holds Go's own, beside which Go's
// linker puts the other one without telling (1.26); nil where nothing proves it.
func (s *CoreSource) proof(m *maps.Mapping) func(f *os.File) bool {
	if want := s.BuildID(m); want != nil {
		return func(f *os.File) bool { return bytes.Equal(image.FileBuildID(f), want) }
	}
	held := s.firstPage(m)
	if len(held) < firstPage || !bytes.Contains(held, goBuildID) {
		return nil
	}
	return func(f *os.File) bool {
		page := make([]byte, firstPage)
		_, err := f.ReadAt(page, 0)
		return err == nil && bytes.Equal(page, held)
	}
}

// goBuildID is the type and the owner of the note with Go's build ID
// (cmd/internal/buildid).
var goBuildID = []byte("\x04\x00\x00\x00Go\x00\x00")

// Death is what is known of why the process died. It reports false for one that
// lived on, as gcore leaves it.
func (s *CoreSource) Death() (d fault.Death, ok bool) {
	if len(s.f.Threads) == 0 {
		return d, false
	}
	t := &s.f.Threads[0]
	if !kills(t.Signal) {
		return d, false
	}
	d = fault.Death{PID: s.f.PID, Signo: t.Signal, Maps: s.Maps}
	if info, ok := fault.ParseSiginfo(t.Siginfo, s.f.Order, s.f.PtrSize()); ok && info.Signo == t.Signal {
		d.Info = &info
	}
	if t.Arch != nil && t.HasRegs {
		d.Arch, d.Regs = t.Arch, &t.Regs
		d.Code, d.CodeAddr = fault.ReadCode(s.ReadMemory, t.PC)
	}
	return d, true
}

// kills reports whether a process can die of a signal: not of those that stop
// it, or do nothing unless it handles them.
func kills(signo int) bool {
	switch unix.Signal(signo) {
	case 0, unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH:
		return false
	}
	return true
}

// maxOpened bounds the files that memory is read from.
const maxOpened = 256

// Core takes the stacks of a core file's threads, the one that died first.
// o.Source is not used. Threads of a CPU that bt does not unwind have one frame,
// where they were.
func Core(src *CoreSource, o Options) *Stacks {
	s := newCore(src, o)
	w := newCoreWalk(s, src)
	for i := range src.f.Threads {
		w.take(&src.f.Threads[i], &o)
	}
	return s
}

// CoreParts is Core for a core of any number of threads: it takes up to n at a
// time. Each Stacks is valid until the next one; the last is closed at the end. It may
// have no threads. There is one, without threads, where none is wanted.
func CoreParts(src *CoreSource, o Options, n int) iter.Seq[*Stacks] {
	return func(yield func(*Stacks) bool) {
		s := newCore(src, o)
		defer s.Close()
		w := newCoreWalk(s, src)
		for i := range src.f.Threads {
			w.take(&src.f.Threads[i], &o)
			if len(s.Threads) == n {
				if !yield(s) {
					return
				}
				w.given = true
				s.Threads = s.Threads[:0]
			}
		}
		s.Last = true
		if len(s.Threads) > 0 || !w.given || !s.runtimes.Empty() {
			yield(s)
		}
	}
}

func newCore(src *CoreSource, o Options) *Stacks {
	s := &Stacks{Space: image.NewSpace(src.Maps, src, o.Cache)}
	o.Source = src
	s.runtimes = o.find(s.Space, true)
	if !s.runtimes.Empty() {
		s.memory = memoryOf(src)
	}
	for _, tid := range o.TIDs {
		if !slices.ContainsFunc(src.f.Threads, func(t core.Thread) bool { return t.TID == tid }) {
			s.Gone = append(s.Gone, tid)
		}
	}
	return s
}

// stopped is the core's process as readers of runtimes see one that stands still.
func (s *CoreSource) stopped(m *process.Recorder) *process.Stopped {
	st := &process.Stopped{Memory: m}
	for i := range s.f.Threads {
		t := &s.f.Threads[i].Thread
		st.TIDs = append(st.TIDs, t.TID)
		st.Threads = append(st.Threads, process.StoppedThread{Thread: t})
	}
	return st
}

// coreWalk adds the stacks of a core's threads to s.
type coreWalk struct {
	s       *Stacks
	walkers walkers
	mem     unwind.Memory
	given   bool // a part has been given out
}

func newCoreWalk(s *Stacks, src *CoreSource) *coreWalk {
	if !s.runtimes.Empty() {
		s.runtimes.Copy(src.stopped(s.memory))
	}
	return &coreWalk{s: s, walkers: walkers{code: s.runtimes.Code(s.Space, s.memory)}, mem: src.f.Memory(func(addr uint64, b []byte) int {
		n, _ := src.ReadMemory(addr, b)
		return n
	})}
}

// take adds the stack of a thread, if it is wanted.
func (w *coreWalk) take(t *core.Thread, o *Options) {
	if len(o.TIDs) > 0 && !slices.Contains(o.TIDs, t.TID) {
		return
	}
	u := process.Unwound{Thread: t.Thread}
	u.Stack = w.walkers.walk(&u.Thread, w.mem, o.MaxFrames)
	if len(u.Stack.Frames) == 0 && t.HasPC {
		u.Stack.Frames = []unwind.Frame{{PC: t.PC, SP: t.SP, Exact: true}}
	}
	w.s.Threads = append(w.s.Threads, u)
}
