//go:build linux

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// The two builds of named.c: the same code under other names. bt must never
// show a name of the second, which lies where the first one was.
var (
	realNames  = []string{"-O1"}
	decoyNames = []string{"-O1", "-DINNER=decoy_inner", "-DOUTER=decoy_outer"}
)

const namedChain = "libc real_inner real_outer main libc _start"

// put copies a file, by rename, so that what has the old one mapped keeps it.
func put(t *testing.T, from, to string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", b, 0o755)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestExecutableDeleted(t *testing.T) {
	prog := put(t, build(t, "gcc", "named.c", realNames...), filepath.Join(tempDir(t), "prog"))
	p := start(t, prog)
	if err := os.Remove(prog); err != nil {
		t.Fatal(err)
	}
	snapshot(t, p.pid).main(t).wantChain(t, namedChain)
}

func TestExecutableReplaced(t *testing.T) {
	prog := put(t, build(t, "gcc", "named.c", realNames...), filepath.Join(tempDir(t), "prog"))
	decoy := build(t, "gcc", "named.c", decoyNames...)
	p := start(t, prog)
	put(t, decoy, prog)
	snapshot(t, p.pid).main(t).wantChain(t, namedChain)
}

func TestLibraryReplaced(t *testing.T) {
	lib := filepath.Join(tempDir(t), "plugin.so")
	shared := []string{"-O1", "-shared", "-fPIC"}
	put(t, build(t, "gcc", "plugin.c", shared...), lib)
	decoy := build(t, "gcc", "plugin.c", append(shared, "-DENTER=decoy_enter", "-DINNER=decoy_inner")...)
	prog := build(t, "gcc", "dlopen.c", "-O1", "-ldl")

	const chain = "libc callback plugin_inner plugin_enter main libc _start"
	p := start(t, prog, lib)
	snapshot(t, p.pid).main(t).wantChain(t, chain)
	put(t, decoy, lib)
	// Who may not use map_files has no way to the library, but must neither
	// believe the decoy nor lose the stack.
	nameless := strings.NewReplacer("plugin_inner", "plugin_inner|", "plugin_enter", "plugin_enter|").Replace(chain)
	if os.Geteuid() == 0 {
		snapshot(t, p.pid).main(t).wantChain(t, chain)
	} else {
		snapshot(t, p.pid).main(t).wantChain(t, nameless)
	}

	t.Run("nobody", func(t *testing.T) {
		testenv.NeedRoot(t)
		put(t, build(t, "gcc", "plugin.c", shared...), lib)
		cmd := command(prog, lib)
		cmd.SysProcAttr = asNobody()
		p := startCmd(t, cmd)
		p.settle(t)
		put(t, decoy, lib)
		cmd = btCmd(t, "--pid", itoa(p.pid))
		cmd.SysProcAttr = asNobody()
		only(t, run(t, cmd).want(t, 0), p.pid).main(t).wantChain(t, nameless)
	})
}

func asNobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// Whatever a path or a thread's name holds, the stack is named and the terminal
// gets no control characters (parse looks for those).
func TestOddPaths(t *testing.T) {
	for _, name := range []string{
		"with space", "two  spaces ", "new\nline", "esc\x1b[31mred", "back\\012slash", "tab\tand\x7f", "gone (deleted)", "umläut", "csi\u009b31m", "bad\xffutf8", "#process 1 x",
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(tempDir(t), name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			prog := put(t, build(t, "gcc", "named.c", realNames...), filepath.Join(dir, name))
			p := start(t, prog, name)
			th := snapshot(t, p.pid, "--module", "--color", "never").main(t)
			th.wantChain(t, namedChain)
			snapshot(t, p.pid, "--raw")
			if strings.ContainsAny(name, "\x1b") && !strings.Contains(th.String(), `\x1b`) {
				t.Errorf("no trace of the escape character:\n%s", th)
			}
			if err := os.Remove(prog); err != nil {
				t.Fatal(err)
			}
			snapshot(t, p.pid).main(t).wantChain(t, namedChain)
		})
	}
}

// A process in mount and PID namespaces of its own, where another file stands
// under the path that it sees.
func TestNamespaces(t *testing.T) {
	testenv.NeedRoot(t)
	if exec.Command("unshare", "-m", "-p", "-f", "true").Run() != nil {
		testenv.Skip(t, "no new mount and PID namespaces can be made here")
	}
	inside, shown := tempDir(t), tempDir(t)
	put(t, build(t, "gcc", "named.c", realNames...), filepath.Join(inside, "prog"))
	put(t, build(t, "gcc", "named.c", decoyNames...), filepath.Join(shown, "prog"))
	cmd := command("sh", "-c", `mount --make-rprivate / && mount --bind "$0" "$1" && exec "$1"/prog`, inside, shown)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	p := startCmd(t, cmd)
	p.settle(t)
	snapshot(t, p.pid).main(t).wantChain(t, namedChain)
}

// The same with a chroot, alone and inside a mount namespace.
func TestChroot(t *testing.T) {
	testenv.NeedRoot(t)
	for name, flags := range map[string]uintptr{"plain": 0, "mount namespace": syscall.CLONE_NEWNS} {
		t.Run(name, func(t *testing.T) {
			root, decoys := tempDir(t), tempDir(t)
			path := filepath.Join(decoys, "prog")
			if err := os.MkdirAll(filepath.Join(root, decoys), 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, build(t, "gcc", "named.c", append(decoyNames, "-static")...), path)
			put(t, build(t, "gcc", "named.c", append(realNames, "-static")...), filepath.Join(root, path))
			cmd := command(path)
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: flags}
			p := startCmd(t, cmd)
			p.settle(t)
			snapshot(t, p.pid).main(t).wantChain(t, namedChain)
		})
	}
}
