//go:build linux

package suite

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// machine64 is a file tree for a machine of 64-bit ARM, and what it shall do.
type machine64 struct {
	t      *testing.T
	tree   string
	memory string // of the machine, in MiB
	script strings.Builder
}

// newMachine64 makes the tree: root's files, or a C library, and bt. `make e2e` says
// where a kernel and a static busybox for the machine are.
func newMachine64(t *testing.T, root string) *machine64 {
	t.Helper()
	if os.Getenv("BT_ARM64_KERNEL") == "" {
		t.Skip("it boots a kernel of its own: make e2e")
	}
	testenv.Need(t, "qemu-system-aarch64", "qemu-system-arm")
	m := &machine64{t: t, tree: filepath.Join(tempDir(t), "tree"), memory: "1024"}
	if root == "" {
		m.libraries()
	} else {
		m.memory = "2048"
		tool(t, "cp", "-a", root, m.tree)
	}
	m.put(os.Getenv("BT_ARM64_BUSYBOX"), "bin/busybox")
	cmd := exec.Command("go", "build", "-o", filepath.Join(m.tree, "bin/bt"), "github.com/gatedso/bt/cmd/bt")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	m.script.WriteString(machineScript)
	return m
}

// libraries puts those of the cross compiler into the tree.
func (m *machine64) libraries() {
	for _, lib := range []string{"ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"} {
		m.put(filepath.Join(arm64Libc, "lib", lib), "lib/"+lib)
	}
}

const machineScript = `
ulimit -c unlimited
echo core >/proc/sys/kernel/core_pattern
echo 0 >/proc/sys/kernel/core_uses_pid
mkdir /tmp/dump
cd /tmp/dump
# begin NAME: what follows is printed by NAME.
begin() { echo "@begin $1"; }
end() { printf '\n@end\n'; }
# wait_for PROGRAM... starts it and waits until it says that it is ready: $pid.
wait_for() {
	rm -f /tmp/ready
	mkfifo /tmp/ready
	"$@" >/tmp/ready &
	pid=$!
	read -r _ </tmp/ready
}
# dump prints the core file.
dump() { gzip -1c core* | base64; rm -f core*; }
`

// put copies a file into the tree.
func (m *machine64) put(from, to string) {
	m.t.Helper()
	to = filepath.Join(m.tree, to)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		m.t.Fatal(err)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// program puts a program into the tree, once, and returns its path there.
func (m *machine64) program(prog string) string {
	m.t.Helper()
	to := "/programs/" + filepath.Base(prog)
	if _, err := os.Stat(m.tree + to); err != nil {
		m.put(prog, to)
	}
	return to
}

// do has the machine run shell commands; what they print comes back under the name.
func (m *machine64) do(name, commands string) {
	fmt.Fprintf(&m.script, "begin '%s'\n%s\nend\n", name, commands)
}

// boot runs all that do has asked for, and returns what each has printed.
func (m *machine64) boot(cpu string) map[string]string {
	m.t.Helper()
	for name, text := range map[string]string{"run.sh": m.script.String(), "commands": "sh /run.sh\n"} {
		if err := os.WriteFile(filepath.Join(m.tree, name), []byte(text), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	script, err := filepath.Abs("../../scripts/machine.sh")
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(script, "arm64", os.Getenv("BT_ARM64_KERNEL"), m.tree)
	cmd.Env = append(os.Environ(), "MACHINE_CPU="+cpu, "MACHINE_MEMORY="+m.memory, "MACHINE_TIMEOUT=400")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	printed := map[string]string{}
	for _, part := range strings.Split(string(out), "@begin ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		printed[name], _, _ = strings.Cut(text, "\n@end\n")
	}
	if err != nil && !strings.Contains(string(out), "=== exit ") {
		m.t.Fatalf("%v: %v\n%s%s", cmd, err, stderr.String(), out[max(0, len(out)-4000):])
	}
	return printed
}

// coreOf writes down the core file that the machine's dump has printed.
func coreOf(t *testing.T, printed string) string {
	t.Helper()
	if i := strings.LastIndex(printed, "@core\n"); i >= 0 {
		printed = printed[i+len("@core\n"):]
	}
	packed, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(printed), ""))
	if err != nil {
		t.Fatalf("no core: %v\n%s", err, head(printed))
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatalf("no core: %v\n%s", err, head(printed))
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(tempDir(t), "core")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// On a kernel of 64-bit ARM programs die in every way: bt run tells why, there, and
// bt and gdb read the cores, here.
func TestMachineARM64(t *testing.T) {
	m := newMachine64(t, "")
	list := deaths64()
	for _, d := range list {
		prog := m.program(d.program(t)) + " " + d.args
		script := prog + " >/dev/null 2>&1"
		if d.waits {
			script = "wait_for " + prog + "\nsleep 0.2\nkill -ABRT $pid\nwait $pid"
		} else if d.src != "throws.cc" {
			m.do("run "+d.name, "bt run "+prog+" 2>&1 | cat")
		}
		m.do(d.name, script+"\necho @core\ndump")
	}
	printed := m.boot("max,pauth-impdef=on")
	for _, d := range list {
		if !d.waits && d.src != "throws.cc" {
			t.Run("run "+d.name, func(t *testing.T) { d.checkRun(t, printed["run "+d.name]) })
		}
		t.Run(d.name, func(t *testing.T) {
			core := coreOf(t, printed[d.name])
			d.check(t, core, true, "--sysroot", m.tree)
			d.compareGDB(t, core, m.tree)
		})
	}
	t.Run("forms", func(t *testing.T) {
		i := slices.IndexFunc(list, func(d death64) bool { return d.threads > 2 && d.waits })
		coreForms(t, &list[i], coreOf(t, printed[list[i].name]), true, "--sysroot", m.tree)
	})
}

// checkRun looks at what bt run has said in the machine.
func (d *death64) checkRun(t *testing.T, out string) {
	t.Helper()
	// The program's own words come before.
	if i := strings.Index(out, "# process "); i > 0 {
		out = out[i:]
	}
	out = strings.TrimRight(out, "\n") + "\n"
	out = regexp.MustCompile(`(?m)^(Segmentation fault|Aborted|Illegal instruction|.*core dumped.*)\n`).ReplaceAllString(out, "")
	ds, ps := parseRun(t, out)
	if len(ds) != 1 || len(ps) != 1 {
		t.Fatalf("%d deaths of %d processes:\n%s", len(ds), len(ps), head(out))
	}
	if !regexp.MustCompile(`^` + d.cause + `$`).MatchString(ds[0].cause) {
		t.Errorf("killed by %s\nwant      %s", ds[0].cause, d.cause)
	}
	if !regexp.MustCompile(`^` + d.insn + `$`).MatchString(ds[0].insn) {
		t.Errorf("instruction %s, want %s", ds[0].insn, d.insn)
	}
	th := ps[0].threads[0]
	th.end = strings.Replace(th.end, "cut after 256 frames (--max-frames)", "", 1)
	th.wantChain(t, d.chain)
}

// compareGDB compares a core's frames with those that gdb-multiarch finds. gdb takes
// a return address that is not authentic for a frame of the caller's caller.
func (d *death64) compareGDB(t *testing.T, core, tree string) {
	t.Helper()
	gdb := testenv.Need(t, "gdb-multiarch", "gdb-multiarch")
	script := filepath.Join(tempDir(t), "stacks.py")
	if err := os.WriteFile(script, []byte(gdbScript), 0o644); err != nil {
		t.Fatal(err)
	}
	theirs := peerStacks(t, regexp.MustCompile(`(?m)^thread (\d+)$|^frame ([0-9a-f]+)$`), gdb, "-nx", "-batch",
		"-ex", "set debuginfod enabled off", "-ex", "set auto-load off", "-ex", "set sysroot "+tree,
		"-ex", "set backtrace limit 300",
		"-ex", "set backtrace past-main on", "-ex", "set backtrace past-entry on", "-ex", "file "+d.program(t), "-ex", "core-file "+core, "-x", script)
	ours := parse(t, died.ReplaceAllString(bt(t, "--core", core, "--sysroot", tree, "-n", "300").stdout, ""))[0]
	if len(theirs) != len(ours.threads) {
		t.Errorf("%d threads, gdb has %d", len(ours.threads), len(theirs))
	}
	for _, th := range ours.threads {
		if !slices.Equal(th.addrs(), theirs[th.tid]) && d.args != "forged" {
			t.Errorf("thread %d differs from gdb's\n%x\n%s", th.tid, theirs[th.tid], th)
		}
	}
}
