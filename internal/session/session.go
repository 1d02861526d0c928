//go:build linux

// Package session holds what the targets of one run share: the images that were
// opened, separate debug files, the helper that downloads them, the kernel's
// symbols, and what names the gate DSO.
package session

import (
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/names/debugfile/debuginfod"
	"github.com/gatedso/bt/internal/names/kallsyms"
	"github.com/gatedso/bt/internal/waits"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// Options says where things are, and how addresses are named.
type Options struct {
	Procfs  string // where procfs is mounted; empty for /proc
	Sysroot string // prefix for files that maps name, or empty
	// DebugDirs are where separate debug files are.
	DebugDirs []string
	// Download has debug files downloaded, from Servers; with no servers what was
	// downloaded before is used.
	Download bool
	Servers  []string
	// Progress receives the progress of long downloads, and which file's debug
	// information takes long to read, unless nil. It is a terminal.
	Progress *os.File

	Gate     gate.Sources
	Demangle symbolize.Demangle
	Versions bool // names are told with their versions
	Lines    bool // names are told with the place in the source, and inlined calls
	// Context is how many lines of the source are told before a place and behind it;
	// nil: none.
	Context *int

	// Note receives what is worth knowing and no error, unless nil. It is called by
	// several goroutines.
	Note func(format string, args ...any)
}

// Session is one run. Its methods are safe for concurrent use, but for Close.
type Session struct {
	// Images are those that were opened. They belong to the session.
	Images *image.Cache

	options Options
	waits   *waits.Run
	files   *debugfile.Finder
	helper  *debuginfod.Helper // nil: nothing is downloaded
	kernel  func() (*kallsyms.Table, error)
}

// New starts a session. Nothing is opened before it is needed.
func New(o Options) *Session {
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	s := &Session{Images: new(image.Cache), options: o, waits: waits.NewRun(o.Procfs)}
	s.files = &debugfile.Finder{Dirs: o.DebugDirs, Sysroot: o.Sysroot, Note: o.Note}
	if o.Download {
		s.helper = &debuginfod.Helper{
			Cache: debuginfod.DefaultCache(os.Getenv), URLs: o.Servers,
			// The helper reads the variable, which may have other servers.
			Env:      []string{"DEBUGINFOD_URLS=" + strings.Join(o.Servers, " ")},
			Progress: o.Progress, Note: o.Note,
		}
		s.files.Debuginfod = s.helper
	}
	s.kernel = sync.OnceValues(func() (*kallsyms.Table, error) {
		t, err := kallsyms.Open(o.Procfs)
		if err != nil {
			s.note("%v", err)
		}
		return t, err
	})
	return s
}

// Close ends the session: the helper, and the use of debug files. Targets are
// closed before it.
func (s *Session) Close() error {
	err := s.files.Close()
	if s.helper != nil {
		err = errors.Join(err, s.helper.Close())
	}
	return err
}

// StopDownloads ends a download that goes on; those that follow fail.
func (s *Session) StopDownloads() {
	if s.helper != nil {
		s.helper.Stop()
	}
}

func (s *Session) note(format string, args ...any) {
	if s.options.Note != nil {
		s.options.Note(format, args...)
	}
}

// DebugFiles finds the debug files of what is no process's. It belongs to the
// session.
func (s *Session) DebugFiles() *debugfile.Finder { return s.files }

// Gate decides what names the gate DSO of a target with the mappings m.
func (s *Session) Gate(m *maps.Map) gate.Setting { return s.options.Gate.Decide(m) }

// Names says how the addresses of a target are named that is no running process:
// one with the mappings m, or, if that is nil, an ELF file by itself.
func (s *Session) Names(m *maps.Map) symbolize.Options {
	o := symbolize.Options{Demangle: s.options.Demangle, Versions: s.options.Versions, Lines: s.options.Lines, Debug: s.files}
	if m != nil {
		o.Gate = s.Gate(m)
	}
	if s.options.Progress != nil {
		b := &busy{out: s.options.Progress, after: busyAfter}
		o.Busy = b.reading
	}
	s.excerpts(&o, nil)
	return o
}
