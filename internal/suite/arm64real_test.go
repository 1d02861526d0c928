//go:build linux

package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// realARM64 are Debian's programs in the machine, each in a command that says when it
// is at rest. exact: eu-stack finds every frame of the first thread, too; of the others it
// loses its way in code that no table describes.
var realARM64 = []struct {
	name, command string
	names         []string // that the first thread's stack has among others
	exact         bool
}{
	{"bash", `/bin/bash -c 'echo ready; f() { read x </tmp/never; }; f'`, []string{"do_redirections", "execute_command_internal", "main"}, true},
	{"python3", `/usr/bin/python3 -S -c 'import threading, time
def wait(n):
    time.sleep(1000) if n == 0 else wait(n - 1)
for i in range(3):
    threading.Thread(target=wait, args=(i,), daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
wait(3)'`, []string{"_PyEval_EvalFrameDefault", "Py_RunMain"}, true},
	{"gdb", `/usr/bin/gdb -nx -q -batch -ex 'python import time; print("ready", flush=True); time.sleep(1000)'`,
		[]string{"_PyEval_EvalFrameDefault", "PyRun_SimpleStringFlags"}, true},
	{"node", `/usr/bin/node -e 'function f(n) { if (n) return f(n - 1); console.log("ready"); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); } f(5)'`,
		[]string{"v8::internal::FutexEmulation::WaitJs32", "node::Start"}, false},
}

// Debian's programs of 64-bit ARM, alive: bt sees the frames that elfutils' eu-stack
// sees. gdb there makes a core of one, which is read here.
func TestMachineARM64Programs(t *testing.T) {
	root := os.Getenv("BT_ARM64_ROOT")
	if root == "" {
		t.Skip("it boots a kernel with Debian's programs: make e2e")
	}
	m := newMachine64(t, root)
	for _, p := range realARM64 {
		m.do(p.name, "mkfifo /tmp/never 2>/dev/null\nwait_for "+p.command+"\nsleep 1\n"+
			"bt --pid $pid --native --demangle short 2>&1 | cat\necho '@eu-stack'\n/usr/bin/eu-stack -n 0 -r -p $pid\necho '@end of it'")
		if p.name == "python3" {
			m.do("gcore", "/usr/bin/gdb -nx -q -batch -p $pid -ex 'gcore core' >/dev/null 2>&1\necho @core\ndump")
		}
		m.script.WriteString("kill -KILL $pid\nwait $pid 2>/dev/null\n")
	}
	m.doTests("internal/runtimes/cpython", "^Test(OwnView|Busy)$")
	m.doTests("internal/suite", "^TestWaitsForLocks$")
	m.do32(t)
	m.doCrash(t)
	printed := m.boot("cortex-a72")
	for _, pkg := range []string{"internal/runtimes/cpython", "internal/suite"} {
		t.Run(pkg, func(t *testing.T) {
			if out := printed[pkg]; !strings.Contains(out, "\nPASS\n") || !strings.Contains(out, "--- PASS") {
				t.Errorf("printed:\n%s", head(out))
			}
		})
	}
	t.Run("32-bit", func(t *testing.T) { check32(t, printed) })
	t.Run("crash handler", func(t *testing.T) { checkCrash(t, printed) })
	for _, p := range realARM64 {
		t.Run(p.name, func(t *testing.T) {
			ours, theirs, ok := strings.Cut(printed[p.name], "@eu-stack\n")
			if !ok {
				t.Fatalf("printed:\n%s", head(printed[p.name]))
			}
			compareEuStack(t, ours, theirs, p.exact)
			main := parse(t, ours)[0].threads[0]
			for _, names := range p.names {
				if !slices.ContainsFunc(main.frames, func(f frame) bool { return f.is(names) }) {
					t.Errorf("no frame of %s:\n%s", names, main)
				}
			}
		})
	}
	t.Run("gcore", func(t *testing.T) {
		live, _, _ := strings.Cut(printed["python3"], "@eu-stack\n")
		core := bt(t, "--core", coreOf(t, printed["gcore"]), "--sysroot", m.tree, "--native", "--demangle", "short").want(t, 0)
		wantSame(t, "gcore", live, core.stdout)
	})
}

// doTests has the machine run tests of a package, which need Debian's programs alone.
func (m *machine64) doTests(pkg, tests string) {
	m.t.Helper()
	binary := "/bin/" + filepath.Base(pkg) + ".test"
	cmd := exec.Command("go", "test", "-c", "-o", m.tree+binary, "github.com/gatedso/bt/"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	dir := "/" + pkg
	if err := os.MkdirAll(m.tree+dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	if _, err := os.Stat("../../" + pkg + "/testdata"); err == nil {
		tool(m.t, "cp", "-r", "../../"+pkg+"/testdata", m.tree+dir+"/")
	}
	m.do(pkg, fmt.Sprintf("(cd %s && PATH=/bin:/usr/bin BT_SUITE_BT=/bin/bt BT_TEST_STRICT=1 %s -test.v -test.timeout 3m -test.run '%s' 2>&1)", dir, binary, tests))
}

// do32 has the machine run programs of 32-bit ARM: one that crashes, and threads.
func (m *machine64) do32(t *testing.T) {
	leaf := m.program(leaf32(t))
	m.do("core of 32 bits", leaf+" >/dev/null 2>&1\necho @core\ndump")
	m.do("run of 32 bits", "bt run "+leaf+" 2>&1 | cat")
	m.do("threads of 32 bits", "wait_for "+m.program(build(t, gccARM32, "threads.c", "-O1", "-static"))+
		" 2\nsleep 1\nbt --pid $pid 2>&1 | cat\nkill -KILL $pid\nwait $pid 2>/dev/null")
}

func check32(t *testing.T, printed map[string]string) {
	const cause = `SIGSEGV \(SEGV_MAPERR\) at 0x0: a null pointer was called; nothing is mapped there`
	r := bt(t, "--core", coreOf(t, printed["core of 32 bits"])).want(t, 3)
	// The program lies elsewhere here: its names come with the live ones.
	ds, ps := parseRun(t, r.stdout)
	if len(ds) != 1 || !regexp.MustCompile(`^`+cause+`$`).MatchString(ds[0].cause) || len(ps) != 1 || len(ps[0].threads) != 1 {
		t.Errorf("the core:\n%s", head(r.stdout))
	}
	run := printed["run of 32 bits"]
	run = run[max(0, strings.Index(run, "# process ")):]
	checkLeaf32(t, strings.TrimRight(run, "\n")+"\n", cause)
	out := printed["threads of 32 bits"]
	ps = parse(t, strings.TrimRight(out[max(0, strings.Index(out, "# process ")):], "\n")+"\n")
	if len(ps) != 1 || len(ps[0].threads) != 3 {
		t.Fatalf("printed:\n%s", head(out))
	}
	for i, th := range ps[0].threads {
		if len(th.frames) == 0 || th.frames[0].digits != 8 || !libcName.MatchString(th.frames[0].name) ||
			i > 0 && !strings.HasPrefix(th.name, "worker ") || !strings.HasPrefix(th.end, "no unwind information for ") {
			t.Errorf("thread %d %q:\n%s", th.tid, th.name, th)
		}
	}
}

// doCrash has the kernel give a core to bt's handler.
func (m *machine64) doCrash(t *testing.T) {
	prog := m.program(build(t, gccARM64, "crash.c", "-O1"))
	m.do("crash handler", "bt crash install\n"+prog+" null >/dev/null 2>&1\nfor i in 1 2 3 4 5 6 7 8 9; do bt crash list 2>/dev/null | grep -q SIGSEGV && break; sleep 1; done\n"+
		"echo @show\nbt crash show | cat\nbt crash uninstall >/dev/null")
}

func checkCrash(t *testing.T, printed map[string]string) {
	_, shown, _ := strings.Cut(printed["crash handler"], "@show\n")
	for _, want := range []string{
		"\n# killed by SIGSEGV (SEGV_MAPERR) at 0x10: a null pointer; nothing is mapped there\n",
		": ldr w0, [x0, #16]\n", " pstate=", " <read_null+0x", " <main+0x",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q:\n%s", want, head(printed["crash handler"]))
		}
	}
}

// compareEuStack compares what bt and eu-stack have printed of the same process.
func compareEuStack(t *testing.T, ours, theirs string, exact bool) {
	t.Helper()
	stacks, tid := map[int][]uint64{}, 0
	for _, m := range regexp.MustCompile(`(?m)^TID (\d+):$|^#\d+ +0x([0-9a-f]+)`).FindAllStringSubmatch(theirs, -1) {
		if m[1] != "" {
			tid, _ = strconv.Atoi(m[1])
			continue
		}
		addr, _ := strconv.ParseUint(m[2], 16, 64)
		stacks[tid] = append(stacks[tid], addr)
	}
	ps := parse(t, ours)
	if len(ps) != 1 || len(stacks) != len(ps[0].threads) {
		t.Fatalf("%d processes, eu-stack has %d threads:\n%s\n%s", len(ps), len(stacks), head(ours), head(theirs))
	}
	for _, th := range ps[0].threads {
		got, want := th.addrs(), stacks[th.tid]
		if !exact && th.tid == ps[0].pid {
			want = got
		}
		if !slices.Equal(got, want) || th.end != "" || len(want) < 3 {
			t.Errorf("thread %d differs from eu-stack's:\n%x\n%s", th.tid, want, th)
		}
	}
}
