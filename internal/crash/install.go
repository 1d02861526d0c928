//go:build linux

package crash

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/trust"
)

// Options say what to install.
type Options struct {
	Procfs string
	Binary string // bt itself: os.Executable
	Dir    string
	Limits Limits
	// Log is where the log lines go: an absolute path of a file, Journal, or Journal, a
	// colon and a socket's path; empty: the system's log.
	Log    string
	Format string // of the log's entries: FormatText, FormatJSON; empty: text
	Chain  bool   // the handler that is replaced gets the core, too
}

// errRoot is for those who may not set a sysctl.
var errRoot = errors.New("only root can set kernel.core_pattern: run it as root")

// Install makes bt the kernel's handler and remembers what it replaces. Where
// bt is the handler already, what was remembered stays.
func Install(o Options) (Settings, error) {
	if os.Geteuid() != 0 {
		return Settings{}, errRoot
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return Settings{}, err
	}
	if err := trustedBinary(o.Binary); err != nil {
		return Settings{}, err
	}
	if err := trustedLog(o.Log); err != nil {
		return Settings{}, err
	}
	pattern, err := Pattern(o.Binary, dir, Extra{Pidfd: kernelHasPidfd(), Dump: o.Chain})
	if err != nil {
		return Settings{}, err
	}
	d, err := createDir(dir)
	if err != nil {
		return Settings{}, err
	}
	defer d.Close()
	unlock, err := d.lock(dirLock)
	if err != nil {
		return Settings{}, err
	}
	defer unlock()
	kernel := sysctls{o.Procfs}
	current, err := kernel.read(corePattern)
	if err != nil {
		return Settings{}, err
	}
	limit, err := kernel.pipeLimit()
	if err != nil {
		return Settings{}, err
	}
	s := Settings{Pattern: pattern, Previous: current, PreviousPipeLimit: limit, Limits: o.Limits, Log: o.Log, Format: o.Format, Chain: o.Chain}
	if oldDir, ok := ours(current); ok {
		if err := s.inherit(d, oldDir); err != nil {
			return Settings{}, err
		}
	}
	if s.Chain && !strings.HasPrefix(s.Previous, "|") {
		return Settings{}, fmt.Errorf("--chain is for a handler, and kernel.core_pattern was %q before bt", s.Previous)
	}
	if err := d.settle(&s, func() error { return kernel.install(pattern, limit) }); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// install makes pattern the handler. limit is the pipe limit of the one before.
func (s sysctls) install(pattern string, limit int) error {
	// The limit first: a process that crashes between the two is kept.
	if err := s.setPipeLimit(pipeLimit); err != nil {
		return err
	}
	if err := s.write(corePattern, pattern); err != nil {
		return errors.Join(err, s.setPipeLimit(limit))
	}
	return nil
}

// inherit takes over what the settings of the handler that is installed
// remember; d is the directory of the new one.
func (s *Settings) inherit(d *Dir, oldDir string) error {
	from := d
	if oldDir != d.Path {
		var err error
		if from, err = OpenDir(oldDir); err != nil {
			return fmt.Errorf("bt is installed already, but what it has replaced is not known: %w: run bt crash uninstall --force first", err)
		}
		defer from.Close()
	}
	old, err := from.Settings()
	if err != nil {
		return fmt.Errorf("bt is installed already, but what it has replaced is not known: %w: run bt crash uninstall --force first", err)
	}
	s.Previous, s.PreviousPipeLimit = old.Previous, old.PreviousPipeLimit
	return nil
}

// trustedBinary checks that the kernel can run the program, and nobody but root
// change it.
func trustedBinary(path string) error {
	if !filepath.IsAbs(path) || strings.HasSuffix(path, " (deleted)") {
		return fmt.Errorf("%q is not where bt is: install it first", path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if real != path {
		return fmt.Errorf("%s is a symbolic link, to %s: run that", path, real)
	}
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: real, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o100 == 0 {
		return fmt.Errorf("%s is not a program", real)
	}
	if err := trust.Path(real); err != nil {
		return fmt.Errorf("%s is refused: %w, or install bt elsewhere", real, err)
	}
	return nil
}

// trustedLog checks that nobody but root can say where the log lines go: they are
// appended by root. An empty path is the system's log.
func trustedLog(path string) error {
	if path == "" || path == Journal {
		return nil
	}
	if socket, ok := strings.CutPrefix(path, Journal+":"); ok {
		if err := trust.Path(filepath.Dir(socket)); err != nil {
			return fmt.Errorf("--log %s is refused: %w", path, err)
		}
		return nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	checked := filepath.Join(dir, filepath.Base(path))
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case err == unix.ENOENT:
		checked = dir
	case err != nil:
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("--log %s is refused: it is no regular file", path)
	}
	if err := trust.Path(checked); err != nil {
		return fmt.Errorf("--log %s is refused: %w, or choose another place", path, err)
	}
	return nil
}

// kernelHasPidfd reports whether the kernel gives the handler a pidfd (%F), which
// Linux does from 6.16 on.
func kernelHasPidfd() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	fmt.Sscanf(string(u.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 16
}

// defaultPattern is the kernel's own (fs/coredump.c).
const defaultPattern = "core"

// Uninstall restores what Install has replaced and returns it. It refuses where
// another has set the pattern since, and where what was replaced is not known.
// With force it restores all the same, and sets the kernel's default for what is
// not known. With an empty dir the directory is taken from the pattern.
func Uninstall(procfs, dir string, force bool) (restored string, err error) {
	if os.Geteuid() != 0 {
		return "", errRoot
	}
	kernel := sysctls{procfs}
	current, err := kernel.read(corePattern)
	if err != nil {
		return "", err
	}
	installed, isOurs := ours(current)
	if dir == "" {
		dir = DefaultDir
		if isOurs {
			dir = installed
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	switch {
	case !isOurs && !force:
		return "", fmt.Errorf("kernel.core_pattern is not bt's but %q: nothing to restore (--force sets what bt has replaced)", current)
	case isOurs && dir != installed && !force:
		return "", fmt.Errorf("kernel.core_pattern is that of --dir %s, not %s", installed, dir)
	}
	s := Settings{Previous: defaultPattern}
	d, err := OpenDir(dir)
	if err == nil {
		defer d.Close()
		var unlock func()
		if unlock, err = d.lock(dirLock); err == nil {
			defer unlock()
			var known Settings
			if known, err = d.Settings(); err == nil {
				s = known
			}
		}
	}
	if err != nil && !force {
		return "", fmt.Errorf("what bt has replaced is not known: %w (--force sets the kernel's default, %q)", err, defaultPattern)
	}
	if err := kernel.write(corePattern, s.Previous); err != nil {
		return "", err
	}
	if err := kernel.setPipeLimit(s.PreviousPipeLimit); err != nil {
		return s.Previous, err
	}
	if d != nil {
		if err := d.remove(settingsFile); err != nil && err != unix.ENOENT {
			return s.Previous, err
		}
	}
	return s.Previous, nil
}

// Status is how things stand.
type Status struct {
	Pattern   string
	PipeLimit int
	Installed bool     // the pattern is bt's
	Dir       string   // of the reports
	Settings  Settings // valid with Installed, unless Problems tell
	Reports   int
	Bytes     int64
	Problems  []string
}

// Look tells how things stand. With an empty dir the directory is taken from
// the pattern.
func Look(procfs, dir string) (*Status, error) {
	if dir != "" {
		var err error
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
	}
	kernel := sysctls{procfs}
	pattern, err := kernel.read(corePattern)
	if err != nil {
		return nil, err
	}
	s := &Status{Pattern: pattern, Dir: dir, Settings: Settings{Limits: DefaultLimits}}
	problem := func(format string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(format, args...)) }
	if s.PipeLimit, err = kernel.pipeLimit(); err != nil {
		problem("%v", err)
	}
	installed, ok := ours(pattern)
	s.Installed = ok
	if s.Dir == "" {
		s.Dir = DefaultDir
		if ok {
			s.Dir = installed
		}
	}
	if ok {
		if installed != s.Dir {
			problem("the handler's directory is %s", installed)
		}
		binary := strings.ReplaceAll(strings.Fields(pattern)[0][1:], "%%", "%")
		if err := trustedBinary(binary); err != nil {
			problem("%v", err)
		}
		if s.PipeLimit == 0 {
			problem("kernel.core_pipe_limit is 0: a process can be gone before its report is made: run bt crash install again")
		}
	}
	d, err := OpenDir(s.Dir)
	if err != nil {
		if ok || !errors.Is(err, fs.ErrNotExist) {
			problem("%v", err)
		}
		return s, nil
	}
	defer d.Close()
	settings, err := d.Settings()
	switch {
	case err == nil:
		s.Settings = settings
	case ok:
		problem("what bt has replaced is not known: %v", err)
	}
	list, err := d.reports()
	if err != nil {
		problem("%v", err)
	}
	s.Reports = len(list)
	for i := range list {
		s.Bytes += list[i].Size
	}
	if n := d.short(); n > 0 {
		problem("the file system of %s lacks %d MiB to have %d %% (at most %d GiB) free: only the newest report is kept", s.Dir, (n+1<<20-1)>>20, keepFree, keepFreeMax>>30)
	}
	return s, nil
}
