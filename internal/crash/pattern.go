//go:build linux

package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// maxPattern is the longest core_pattern, in bytes: CORENAME_MAX_SIZE of
// include/linux/binfmts.h has one for the NUL. The kernel cuts what is longer.
const maxPattern = 127

// pipeLimit is the kernel.core_pipe_limit that bt sets. Any but 0 makes the
// kernel keep the process in /proc until the handler is done; it is also how
// many handlers there can be at a time, of which most wait for their turn: what
// is beyond is noted in the kernel's log alone.
const pipeLimit = 128

// arguments are those that the kernel gives to the handler. The name is the
// last: kernels before 5.3 split it at blanks.
//
// The pidfd comes where the kernel has one: older kernels drop %F, and the path
// has to leave room for it.
const (
	arguments = " --pid %P --tid %I --signal %s --uid %u --gid %g --time %t --name %e"
	pidfd     = " --pidfd=%F"
	dump      = " -d%d" // --dump
)

// handle are the command's words, by which a pattern is known as bt's.
const handle = " crash handle"

// Extra is what a pattern asks of the kernel beside what all need.
type Extra struct {
	Pidfd bool // a descriptor of the process, where there is room for it
	Dump  bool // whether users may read the core: another handler wants to know
}

// Pattern is the core_pattern that has binary handle crashes.
func Pattern(binary, dir string, extra Extra) (string, error) {
	for _, path := range []string{binary, dir} {
		if strings.ContainsFunc(path, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return "", fmt.Errorf("%q cannot stand in kernel.core_pattern, which is split at blanks: choose another place", path)
		}
	}
	p := "|" + strings.ReplaceAll(binary, "%", "%%") + handle
	if dir != DefaultDir {
		p += " --dir " + strings.ReplaceAll(dir, "%", "%%")
	}
	if extra.Dump {
		p += dump
	}
	if extra.Pidfd && len(p)+len(pidfd)+len(arguments) <= maxPattern {
		p += pidfd
	}
	p += arguments
	if len(p) > maxPattern {
		return "", fmt.Errorf("kernel.core_pattern would have %d bytes, the kernel takes %d: put bt into a directory with a shorter name, or choose a shorter --dir (%s)", len(p), maxPattern, p)
	}
	return p, nil
}

// ours reports whether a pattern is one of bt's, and of which directory.
func ours(pattern string) (dir string, ok bool) {
	fields := strings.Fields(pattern)
	if len(fields) < 3 || !strings.HasPrefix(pattern, "|") || " "+fields[1]+" "+fields[2] != handle {
		return "", false
	}
	if len(fields) > 4 && fields[3] == "--dir" {
		return strings.ReplaceAll(fields[4], "%%", "%"), true
	}
	return DefaultDir, true
}

// sysctls are the kernel's settings below a procfs.
type sysctls struct{ procfs string }

func (s sysctls) path(name string) string { return filepath.Join(s.procfs, "sys/kernel", name) }

func (s sysctls) read(name string) (string, error) {
	b, err := os.ReadFile(s.path(name))
	return strings.TrimSuffix(string(b), "\n"), err
}

// write sets a sysctl, and checks that it is set.
func (s sysctls) write(name, value string) error {
	f, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if got, err := s.read(name); err != nil || got != value {
		return fmt.Errorf("%s: the kernel has made %q of %q", s.path(name), got, value)
	}
	return nil
}

const (
	corePattern   = "core_pattern"
	corePipeLimit = "core_pipe_limit"
)

func (s sysctls) pipeLimit() (int, error) {
	text, err := s.read(corePipeLimit)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

func (s sysctls) setPipeLimit(n int) error { return s.write(corePipeLimit, strconv.Itoa(n)) }
