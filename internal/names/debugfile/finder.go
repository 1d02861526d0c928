package debugfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/procfs"
)

// DefaultDir is where distributions install separate debug files.
const DefaultDir = "/usr/lib/debug"

// What Find reports as the way by which it found a debug file.
const (
	ViaBuildID    = "build ID"
	ViaDebuglink  = "debuglink"
	ViaDebuginfod = "debuginfod"
)

// Fetcher gets debug files from elsewhere; package debuginfod has one. Fetch
// returns the path of a local copy, or an error that says why there is none.
// It is called by several goroutines at a time.
type Fetcher interface {
	Fetch(buildID []byte) (path string, err error)
}

// Finder finds separate debug files. Its exported fields must not change after
// the first Find. Its methods are safe for concurrent use, except for Close.
type Finder struct {
	// Dirs are the global debug directories. DefaultDir is not implied.
	Dirs []string

	// Sysroot is the directory that holds the target's files, or "". Symbolic
	// links in it are resolved within it.
	Sysroot string

	// Root opens a path in the root directory that the target sees, or is nil.
	// It must not follow the target's symbolic links out of that directory and
	// must open regular files only: see procfs.Root.
	Root func(path string) (*os.File, error)

	// RootPath is what the paths given to Find, when they lead into Root, begin
	// with: the kernel counts paths from the top of the mount namespace, so
	// that those of a process below a chroot repeat its path. It may be "".
	RootPath string

	// BuildIDOnly has nothing looked for by debuglinks: for a target that is
	// not trusted with the paths that they lead to.
	BuildIDOnly bool

	// Debuginfod is asked last, for images that have a build ID, unless nil.
	Debuginfod Fetcher

	// Note receives why files were refused, unless nil. Calls do not overlap.
	Note func(format string, args ...any)

	mu      sync.Mutex
	results map[key]*result
	files   map[fileID]*file
	parent  *Finder // has the files, and what is not of Root; nil: f itself

	noteMu sync.Mutex
}

// In returns a Finder for a target that sees another root directory: see Root and
// RootPath. It shares f's files, and what f knows of them. It must not be used
// after f was closed; closing it does nothing.
func (f *Finder) In(root func(path string) (*os.File, error), rootPath string) *Finder {
	return &Finder{
		Dirs: f.Dirs, Sysroot: f.Sysroot, Root: root, RootPath: rootPath,
		BuildIDOnly: f.BuildIDOnly, Debuginfod: f.Debuginfod, parent: f.shared(),
	}
}

// shared is the Finder that has the files.
func (f *Finder) shared() *Finder {
	if f.parent != nil {
		return f.parent
	}
	return f
}

// key tells what a search depends on.
type key struct {
	buildID, path string
	link          Debuglink
	info          bool // for FindInfo
}

type result struct {
	once sync.Once
	im   *elfsym.Image
	via  string
	err  error
}

// Find returns the debug file of im, which the target knows by the absolute
// path path, and one of the Via constants; the returned image's Name is the
// debug file's path. Without one it returns nil and an error that says which
// files were there but were refused; the error is nil where there was none.
//
// The order is: by build ID in Dirs, of the host, below Sysroot, and in the
// target's root; by debuglink in the same places, beside the image and in
// .debug beside it first; from debuginfod. Find is for images without a
// .symtab: debug files that have none either are refused as well.
//
// The image belongs to the Finder, which returns the same one again when asked
// again.
func (f *Finder) Find(im *elfsym.Image, path string) (*elfsym.Image, string, error) {
	return f.find(im, path, false)
}

// FindInfo is Find for a file with debug information, for an image that has
// none: the file needs no symbols.
func (f *Finder) FindInfo(im *elfsym.Image, path string) (*elfsym.Image, string, error) {
	return f.find(im, path, true)
}

func (f *Finder) find(im *elfsym.Image, path string, info bool) (*elfsym.Image, string, error) {
	s := search{f: f, im: im, id: im.BuildID(), path: path, info: info}
	s.link, s.linked = ReadDebuglink(im)
	if len(s.id) == 0 && !s.linked {
		return nil, "", nil
	}
	k := key{string(s.id), path, s.link, info}
	f.mu.Lock()
	r := f.results[k]
	if r == nil {
		if f.results == nil {
			f.results = make(map[key]*result)
		}
		r = new(result)
		f.results[k] = r
	}
	f.mu.Unlock()
	r.once.Do(func() { r.im, r.via, r.err = s.run() })
	return r.im, r.via, r.err
}

// Close closes all images that Find returned, also those of Finders that In made.
func (f *Finder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, file := range f.files {
		if file.im != nil {
			errs = append(errs, file.im.Close())
		}
	}
	f.files, f.results = nil, nil
	return errors.Join(errs...)
}

// Say gives Note what is worth knowing of a debug file. A nil Finder says nothing.
func (f *Finder) Say(format string, args ...any) {
	if f != nil {
		f.note(format, args...)
	}
}

func (f *Finder) note(format string, args ...any) {
	if f = f.shared(); f.Note != nil {
		f.noteMu.Lock()
		defer f.noteMu.Unlock()
		f.Note(format, args...)
	}
}

// search is one search for the debug file of one image.
type search struct {
	f      *Finder
	im     *elfsym.Image
	id     []byte
	path   string
	link   Debuglink
	linked bool
	info   bool // the file must have debug information, else symbols

	seen    map[fileID]bool // what the same file is called elsewhere is not asked
	refused []error
}

func (s *search) run() (*elfsym.Image, string, error) {
	s.seen = make(map[fileID]bool)
	places := s.places()
	for _, name := range s.byBuildID() {
		for _, p := range places {
			if im := s.try(p.open, name, s.sameID); im != nil {
				return im, ViaBuildID, nil
			}
		}
	}
	for _, p := range places {
		for _, name := range s.byLink(p.path) {
			if im := s.try(p.open, name, s.linkedTo); im != nil {
				return im, ViaDebuglink, nil
			}
		}
	}
	if im := s.fetch(); im != nil {
		return im, ViaDebuginfod, nil
	}
	return nil, "", errors.Join(s.refused...)
}

// place is a root directory to look for files in.
type place struct {
	open func(path string) (*os.File, error)
	path string // what the image is called there
}

// places lists the host, the sysroot and the target's root.
func (s *search) places() []place {
	places := []place{{procfs.Open, s.path}}
	// A file of the host may be called by a symbolic link, and its debug file
	// lie where it itself does. Paths in maps have no links.
	if s.linked && filepath.IsAbs(s.path) {
		if real, err := filepath.EvalSymlinks(s.path); err == nil && real != s.path {
			places = append(places, place{procfs.Open, real})
		}
	}
	if s.f.Sysroot != "" {
		open := func(path string) (*os.File, error) { return procfs.In(s.f.Sysroot, path) }
		places = append(places, place{open, s.path})
	}
	if s.f.Root != nil {
		path := s.path
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(s.f.RootPath, "/")+"/"); ok {
			path = "/" + below
		}
		places = append(places, place{s.f.Root, path})
	}
	return places
}

// maxBuildID is the length in bytes of the longest build ID looked for; linkers
// write 8, 16, 20 or 32.
const maxBuildID = 64

// byBuildID lists DIR/.build-id/ab/cdef….debug.
func (s *search) byBuildID() []string {
	if len(s.id) < 2 || len(s.id) > maxBuildID {
		return nil
	}
	var names []string
	for _, dir := range s.f.Dirs {
		names = append(names, filepath.Join(dir, ".build-id",
			fmt.Sprintf("%x", s.id[:1]), fmt.Sprintf("%x.debug", s.id[1:])))
	}
	return names
}

// byLink lists the three places that the GDB manual ("Separate Debug Files")
// gives for the debuglink of an image called path.
func (s *search) byLink(path string) []string {
	if !s.linked || s.f.BuildIDOnly || !filepath.IsAbs(path) {
		return nil
	}
	dir := filepath.Dir(path)
	names := []string{filepath.Join(dir, s.link.Name), filepath.Join(dir, ".debug", s.link.Name)}
	for _, d := range s.f.Dirs {
		names = append(names, filepath.Join(d, dir, s.link.Name))
		if alias, ok := merged(dir); ok {
			names = append(names, filepath.Join(d, alias, s.link.Name))
		}
	}
	return names
}

// merged returns the other name of a directory where /lib, /bin and the like
// are links to those in /usr: packages made before the merge have their debug
// files below /usr/lib/debug/lib, while maps say /usr/lib.
func merged(dir string) (string, bool) {
	below, inUsr := strings.CutPrefix(dir, "/usr/")
	if !inUsr {
		below = strings.TrimPrefix(dir, "/")
	}
	top, _, _ := strings.Cut(below, "/")
	switch {
	case top != "bin" && top != "sbin" && !strings.HasPrefix(top, "lib"): // lib32, lib64, libx32
		return "", false
	case inUsr:
		return "/" + below, true
	}
	return "/usr/" + below, true
}

// try opens a file and returns its image if it is the debug file.
func (s *search) try(open func(string) (*os.File, error), name string, proven func(*file, *os.File) error) *elfsym.Image {
	f, err := open(name)
	if err != nil {
		if !notThere(err) {
			s.refuse(err)
		}
		return nil
	}
	defer f.Close()
	id, err := identify(f)
	if err != nil {
		s.refuse(err)
		return nil
	}
	if s.seen[id] {
		return nil
	}
	s.seen[id] = true
	file := s.f.file(id)
	im, err := file.open(f)
	if err == nil {
		err = s.helps(im)
	}
	if err == nil {
		err = proven(file, f)
	}
	if err == nil {
		_, err = Shift(s.im, im)
	}
	if err != nil {
		s.refuse(err)
		return nil
	}
	return im
}

// notThere reports whether an error says that there is no such file. That is so
// as well where a component of the path is a file, or too long to be one.
func notThere(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG)
}

func (s *search) refuse(err error) {
	s.f.note("debug file for %s: %v", s.path, err)
	s.refused = append(s.refused, err)
}

// fetch asks debuginfod.
func (s *search) fetch() *elfsym.Image {
	if s.f.Debuginfod == nil || len(s.id) < 2 || len(s.id) > maxBuildID {
		return nil
	}
	path, err := s.f.Debuginfod.Fetch(s.id)
	if err != nil {
		s.f.note("debug file for %s: debuginfod: %v", s.path, err)
		return nil
	}
	return s.try(procfs.Open, path, s.sameID)
}
