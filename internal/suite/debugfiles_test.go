//go:build linux

package suite

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/testenv"
)

// strippedProg is a program without symbols, and what has them.
type strippedProg struct {
	path  string // its debuglink is to prog.debug
	debug string
	id    string // of the build, in hexadecimal; empty if it has none
}

const (
	withID    = "-Wl,--build-id"
	withoutID = "-Wl,--build-id=none"
	// What stays of namedChain where no debug file may be used.
	nameless = "libc"
)

// strip builds named.c and strips it as distributions do.
func strip(t *testing.T, flags ...string) strippedProg {
	t.Helper()
	testenv.Need(t, "objcopy", "binutils")
	whole := build(t, "gcc", "named.c", append(flags, "-static")...)
	dir := tempDir(t)
	s := strippedProg{path: dir + "/prog", debug: dir + "/prog.debug"}
	tool(t, "objcopy", "--only-keep-debug", whole, s.debug)
	tool(t, "objcopy", "--strip-all", "--add-gnu-debuglink="+s.debug, whole, s.path)
	im, err := elfsym.OpenPath(whole)
	if err != nil {
		t.Fatal(err)
	}
	s.id = hex.EncodeToString(im.BuildID())
	im.Close()
	return s
}

// byID is where a debug directory has the debug file.
func (s strippedProg) byID() string { return "/.build-id/" + s.id[:2] + "/" + s.id[2:] + ".debug" }

// tool runs a program that must succeed.
func tool(t testing.TB, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// place copies a file, or makes a symbolic link where from begins with "->".
func place(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if link, ok := strings.CutPrefix(from, "->"); ok {
		if err := os.Symlink(link, to); err != nil {
			t.Fatal(err)
		}
		return
	}
	put(t, from, to)
}

// environment is a way to run a program from a tree of files.
type environment struct {
	name string
	run  func(t *testing.T, tree, prog string) *exec.Cmd
}

var environments = []environment{
	{"host", func(t *testing.T, tree, prog string) *exec.Cmd { return command(prog) }},
	{"chroot", func(t *testing.T, tree, prog string) *exec.Cmd {
		testenv.NeedRoot(t)
		cmd := command(prog)
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: tree}
		return cmd
	}},
	// Nobody outside sees the tree, as in a container.
	{"chroot in a mount namespace", func(t *testing.T, tree, prog string) *exec.Cmd {
		needMounts(t)
		cmd := command("sh", "-c", `mount --make-rprivate / && mount -t tmpfs none "$0" && cp -a "$1"/. "$0" && exec chroot "$0" "$2"`, tempDir(t), tree, prog)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		return cmd
	}},
	{"mounted over the host's", func(t *testing.T, tree, prog string) *exec.Cmd {
		needMounts(t)
		cmd := command("sh", "-c", `mount --make-rprivate / && mount --bind "$0$1" "$1" && exec "$1/prog"`, tree, filepath.Dir(prog))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		return cmd
	}},
}

func needMounts(t *testing.T) {
	t.Helper()
	testenv.NeedRoot(t)
	if exec.Command("unshare", "-m", "true").Run() != nil {
		testenv.Skip(t, "no new mount namespace can be made here")
	}
}

// TestDebugFiles names a stripped program by debug files that lie where the
// program sees them: on the host, or below a root of its own, while under the
// same paths on the host lie a program and debug files of another build.
func TestDebugFiles(t *testing.T) {
	real, decoy := strip(t, append(realNames, withID)...), strip(t, append(decoyNames, withID)...)
	plain, plainDecoy := strip(t, append(realNames, withoutID)...), strip(t, append(decoyNames, withoutID)...)
	tests := []struct {
		name        string
		prog, other strippedProg
		// files are below the program's directory DIR: debug files, "decoy"
		// ones, or links. DIR/debug is the debug directory.
		files map[string]string
		want  string
	}{
		{"build ID", real, decoy, map[string]string{"debug" + real.byID(): "debug"}, namedChain},
		{"build ID, absolute link", real, decoy, map[string]string{"debug": "->DIR/srv", "srv" + real.byID(): "debug"}, namedChain},
		{"debuglink of another build", real, decoy, map[string]string{"prog.debug": "decoy"}, nameless},
		{"build ID of another build", real, decoy, map[string]string{"debug" + real.byID(): "decoy"}, nameless},
		{"debuglink", plain, plainDecoy, map[string]string{"prog.debug": "debug"}, namedChain},
		{"debuglink, absolute link", plain, plainDecoy, map[string]string{".debug": "->DIR/srv", "srv/prog.debug": "debug"}, namedChain},
		{"debuglink, debug directory", plain, plainDecoy, map[string]string{"debug/DIR/prog.debug": "debug"}, namedChain},
		{"debuglink, wrong CRC", plain, plainDecoy, map[string]string{"prog.debug": "decoy", "debug/DIR/prog.debug": "decoy"}, nameless},
	}
	for _, env := range environments {
		for _, test := range tests {
			t.Run(env.name+"/"+test.name, func(t *testing.T) {
				dir := tempDir(t)
				fill := func(tree string, prog, debug string) {
					place(t, prog, tree+dir+"/prog")
					for name, what := range test.files {
						switch what {
						case "debug":
							what = debug
						case "decoy":
							what = test.other.debug
						}
						place(t, strings.ReplaceAll(what, "DIR", dir), tree+dir+"/"+strings.ReplaceAll(name, "DIR", dir))
					}
				}
				tree := ""
				if env.name != "host" {
					tree = tempDir(t)
					fill("", test.other.path, test.other.debug)
				}
				fill(tree, test.prog.path, test.prog.debug)
				p := startCmd(t, env.run(t, tree, dir+"/prog"))
				p.settle(t)
				snapshot(t, p.pid, "-d", dir+"/debug").main(t).wantChain(t, test.want)
				addrs := btCmd(t, "--pid", itoa(p.pid), "-d", dir+"/debug", "-")
				addrs.Stdin = strings.NewReader(bt(t, "--pid", itoa(p.pid), "--raw").want(t, 0).stdout)
				only(t, run(t, addrs).want(t, 0), p.pid).main(t).wantChain(t, test.want)
			})
		}
	}
}

// MiniDebugInfo is in the program itself.
func TestMiniDebugInfo(t *testing.T) {
	testenv.Need(t, "xz", "xz-utils")
	s := strip(t, append(realNames, withID)...)
	dir := tempDir(t)
	tool(t, "objcopy", "-S", "--keep-symbol=real_inner", "--keep-symbol=real_outer", "--keep-symbol=main", "--keep-symbol=_start", s.debug, dir+"/mini")
	tool(t, "xz", dir+"/mini")
	tool(t, "objcopy", "--add-section=.gnu_debugdata="+dir+"/mini.xz", s.path, dir+"/prog")
	p := start(t, dir+"/prog")
	r := bt(t, "--pid", itoa(p.pid), "-d", dir+"/none", "-v")
	only(t, r, p.pid).main(t).wantChain(t, namedChain)
	if !strings.Contains(r.stderr, ".gnu_debugdata") {
		t.Errorf("it is not said where the names are from:\n%s", r.stderr)
	}
}

// A real debuginfod has the debug file, and after it the cache.
func TestDebuginfod(t *testing.T) {
	tool(t, "go", "build", "-o", filepath.Join(scratch, "bt-debuginfod"), "github.com/gatedso/bt/cmd/bt-debuginfod")
	s := strip(t, append(realNames, withID)...)
	files, cache := tempDir(t), tempDir(t)
	put(t, s.debug, files+"/prog.debug")
	id, _ := hex.DecodeString(s.id)
	url := testenv.Debuginfod(t, files, id)
	p := start(t, put(t, s.path, tempDir(t)+"/prog"))
	for _, test := range []struct{ urls, flag, want string }{
		{"", "", nameless},
		{url, "--debuginfod", namedChain},
		{"http://127.0.0.1:1", "", namedChain}, // from the cache
	} {
		cmd := btCmd(t, "--pid", itoa(p.pid), "-d", cache+"/none")
		if test.flag != "" {
			cmd.Args = append(cmd.Args, test.flag)
		}
		cmd.Env = append(cmd.Env, "DEBUGINFOD_CACHE_PATH="+cache, "DEBUGINFOD_URLS="+test.urls)
		only(t, run(t, cmd).want(t, 0), p.pid).main(t).wantChain(t, test.want)
	}
}

// However many processes are looked at, one helper runs, and a server that fails is
// asked once.
func TestDebuginfodOnce(t *testing.T) {
	tool(t, "go", "build", "-o", filepath.Join(scratch, "bt-debuginfod"), "github.com/gatedso/bt/cmd/bt-debuginfod")
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	var pids []string
	for _, names := range [][]string{realNames, decoyNames, realNames} {
		s := strip(t, append(names, withID)...)
		p := start(t, put(t, s.path, tempDir(t)+"/prog"))
		pids = append(pids, itoa(p.pid))
	}
	dir := tempDir(t)
	cmd := btCmd(t, "--pid", strings.Join(pids, ","), "-d", dir+"/none", "--debuginfod="+server.URL)
	cmd.Env = append(cmd.Env, "DEBUGINFOD_CACHE_PATH="+dir+"/cache")
	run(t, cmd).want(t, 0)
	if n := asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}
