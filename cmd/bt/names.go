package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/names/debugfile/debuginfod"
	"github.com/gatedso/bt/internal/names/jitmap"
	"github.com/gatedso/bt/internal/names/kallsyms"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// nameOptions says how addresses are named; m are the target's maps, nil for
// an ELF file by itself.
func (a *app) nameOptions(m *maps.Map) symbolize.Options {
	mode, _ := a.demangleMode()
	o := symbolize.Options{
		Demangle: mode,
		Versions: a.verbose,
		Debug:    a.debugFinder(),
	}
	o.Lines, _ = a.lines()
	if m != nil {
		o.Gate = a.gateSources().Decide(m)
	}
	return o
}

// debugFinder finds separate debug files.
func (a *app) debugFinder() *debugfile.Finder {
	f := &debugfile.Finder{Dirs: a.debugDirs, Sysroot: a.sysroot}
	if a.verbose {
		f.Note = a.errorf
	}
	if h := a.debuginfodHelper(); h != nil {
		f.Debuginfod = h
	}
	return f
}

// debuginfodHelper is what downloads debug files: nil unless the user wants it.
func (a *app) debuginfodHelper() *debuginfod.Helper {
	urls := strings.Fields(os.Getenv("DEBUGINFOD_URLS"))
	if a.debuginfod != "" && a.debuginfod != fromEnvironment {
		urls = strings.Fields(a.debuginfod)
	}
	if len(urls) == 0 && a.debuginfod == "" {
		return nil
	}
	h := &debuginfod.Helper{Cache: debuginfod.DefaultCache(os.Getenv), URLs: urls}
	// The helper reads the variable; --debuginfod overrides it.
	h.Env = []string{"DEBUGINFOD_URLS=" + strings.Join(urls, " ")}
	if isTerminal(a.stderr) {
		h.Progress = a.stderr
	}
	if a.verbose {
		h.Note = a.errorf
	}
	return h
}

// fromEnvironment is the value of --debuginfod without a value.
const fromEnvironment = "DEBUGINFOD_URLS"

// processNames is what names a process's addresses beside its files.
func (a *app) processNames(p *live.Process, m *maps.Map) *symbolize.Process {
	jit, err := jitmap.Open(p.PID, a.procfs, m)
	if err != nil {
		a.verbosef("%v", err)
	} else {
		jit.Note = func(err error) { a.verbosef("%v", err) }
	}
	return &symbolize.Process{
		JIT: jit,
		Kernel: sync.OnceValues(func() (*kallsyms.Table, error) {
			t, err := kallsyms.Open(a.procfs)
			if err != nil {
				a.verbosef("%v", err)
			}
			return t, err
		}),
	}
}

// useRoot has f look for debug files in the root directory of a process, too,
// unless that is bt's own.
func (a *app) useRoot(f *debugfile.Finder, p *live.Process) {
	dir := filepath.Join(a.procfs, strconv.Itoa(p.PID))
	if sameFile("/", dir+"/root/.") && sameFile("/proc/self/ns/mnt", dir+"/ns/mnt") {
		return
	}
	root := sync.OnceValues(func() (*procfs.Root, error) { return procfs.OpenRoot(dir + "/root") })
	f.Root = func(path string) (*os.File, error) {
		r, err := root()
		if err != nil {
			return nil, err
		}
		return r.Open(path)
	}
	if path, err := os.Readlink(dir + "/root"); err == nil {
		f.RootPath = path
	}
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
