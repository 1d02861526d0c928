package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Python is an interpreter to test with.
type Python struct {
	Name string   // "3.11.7", "python3.13 in trixie"
	Args []string // the command that starts it
	Dir  string   // where in the file system it sees its root
}

var pythonName = regexp.MustCompile(`^python3\.(8|9|1[0-4])(t|d|-dbg|)$`)

// Pythons are the CPythons of 3.8 to 3.14 on this machine: those that pyenv has
// installed, those in /usr/bin, and in each file tree below $BT_RUNTIMES/roots, which
// are run by chroot. It skips t where there is none at all.
func Pythons(t testing.TB) []Python {
	t.Helper()
	var all []Python
	home, _ := os.UserHomeDir()
	for _, pattern := range []string{filepath.Join(home, ".pyenv/versions/3.*/bin/python3.*"), "/usr/bin/python3.*"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if real, err := filepath.EvalSymlinks(p); err == nil && pythonName.MatchString(filepath.Base(p)) {
				all = append(all, Python{Name: p, Args: []string{real}, Dir: "/"})
			}
		}
	}
	if dir := os.Getenv("BT_RUNTIMES"); dir != "" && os.Geteuid() == 0 {
		paths, _ := filepath.Glob(filepath.Join(dir, "roots/*/usr/bin/python3.*"))
		for _, p := range paths {
			root := strings.TrimSuffix(p, "/usr/bin/"+filepath.Base(p))
			if pythonName.MatchString(filepath.Base(p)) {
				all = append(all, Python{Name: filepath.Base(root) + " " + filepath.Base(p), Args: []string{"chroot", root, filepath.Base(p)}, Dir: root})
			}
		}
		builds, _ := filepath.Glob(filepath.Join(dir, "builds/*/python"))
		for _, p := range builds {
			all = append(all, Python{Name: filepath.Base(filepath.Dir(p)) + " build", Args: []string{p}, Dir: "/"})
		}
	}
	all = slices.CompactFunc(all, func(a, b Python) bool { return a.Args[0] == b.Args[0] && a.Args[0] != "chroot" })
	if len(all) == 0 {
		Skip(t, "there is no CPython: apt-get install python3")
	}
	return all
}

// Command makes the command that runs a program of testdata, which the interpreter sees
// at another path when it has a root of its own.
func (p *Python) Command(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	if p.Dir != "/" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.CreateTemp(filepath.Join(p.Dir, "tmp"), "*-"+filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.Write(text); err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(f.Name()) })
		path = strings.TrimPrefix(f.Name(), p.Dir)
	}
	return exec.Command(p.Args[0], append(append(slices.Clone(p.Args[1:]), path), args...)...)
}
