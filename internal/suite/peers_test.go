package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// gdbScript prints each thread's TID and the frames that are on its stack: neither
// inlined calls nor the tail calls that gdb infers.
const gdbScript = `
import gdb
for t in gdb.selected_inferior().threads():
    t.switch()
    print("thread", t.ptid[1] or t.ptid[0])
    f = gdb.newest_frame()
    while f is not None:
        if f.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            print("frame %x" % f.pc())
        f = f.older()
`

// gdbStacks asks gdb for the frame addresses of each thread.
func gdbStacks(t *testing.T, pid int) map[int][]uint64 {
	t.Helper()
	script := filepath.Join(tempDir(t), "stacks.py")
	if err := os.WriteFile(script, []byte(gdbScript), 0o644); err != nil {
		t.Fatal(err)
	}
	return peerStacks(t, regexp.MustCompile(`(?m)^thread (\d+)$|^frame ([0-9a-f]+)$`), "gdb", "-nx", "-batch",
		"-ex", "set debuginfod enabled off", "-ex", "set auto-load off",
		"-ex", "set backtrace past-main on", "-ex", "set backtrace past-entry on", "-ex", "set backtrace limit unlimited",
		"-p", itoa(pid), "-x", script)
}

// euStacks asks eu-stack.
func euStacks(t *testing.T, pid int) map[int][]uint64 {
	t.Helper()
	return peerStacks(t, regexp.MustCompile(`(?m)^TID (\d+):$|^#\d+ +0x([0-9a-f]+)`), "eu-stack", "-n", "0", "-p", itoa(pid))
}

func peerStacks(t *testing.T, re *regexp.Regexp, argv ...string) map[int][]uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	// eu-stack exits with 1 when it could not follow each stack to its end.
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	stacks := map[int][]uint64{}
	tid := 0
	for _, m := range re.FindAllStringSubmatch(string(out), -1) {
		if m[1] != "" {
			tid, _ = strconv.Atoi(m[1])
			continue
		}
		addr, _ := strconv.ParseUint(m[2], 16, 64)
		stacks[tid] = append(stacks[tid], addr)
	}
	if len(stacks) == 0 {
		t.Fatalf("%v: %v\n%s", argv, err, head(string(out)))
	}
	return stacks
}

// Large programs at rest: bt sees the frames that gdb and eu-stack see.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	testenv.Need(t, "gdb", "gdb")
	testenv.Need(t, "eu-stack", "elfutils")
	for _, tc := range []struct {
		tool, pkg string
		args      []string
	}{
		{"python3", "python3", []string{"-c", "import threading,time\n" +
			"for i in range(4): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n" +
			"print('ready', flush=True)\ntime.sleep(1000)"}},
		{"node", "nodejs", []string{"-e", "setInterval(() => {}, 1e6); console.log('ready')"}},
		{"gdb", "gdb", []string{"-nx", "-q", "-ex", `echo ready\n`}},
		{"go", "golang-go", []string{"generate", filepath.Join(goGenerate(t), "wait.go")}},
	} {
		t.Run(tc.tool, func(t *testing.T) {
			prog := testenv.Need(t, tc.tool, tc.pkg)
			p := startCmd(t, command(prog, tc.args...))
			var diff string
			// A thread may wake for a moment: what differs is looked at again.
			for range 4 {
				waitAtRest(p.pid)
				if diff = comparePeers(t, p.pid); diff == "" {
					return
				}
			}
			t.Error(diff)
		})
	}
}

// goGenerate makes a directory where "go generate" waits for a command.
func goGenerate(t *testing.T) string {
	dir := tempDir(t)
	src := "package wait\n\n//go:generate sh -c \"echo ready; exec sleep 1000\"\n"
	if err := os.WriteFile(filepath.Join(dir, "wait.go"), []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// waitAtRest gives a process time until no thread of it runs.
func waitAtRest(pid int) {
	for range 500 {
		rest := true
		for _, s := range taskStates(pid) {
			rest = rest && s == 'S'
		}
		if rest {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// comparePeers says where bt's stacks are not those of gdb and eu-stack.
func comparePeers(t *testing.T, pid int) string {
	t.Helper()
	gdb, eu := gdbStacks(t, pid), euStacks(t, pid)
	ps := snapshot(t, pid, "-n", "0")
	var b strings.Builder
	if len(ps.threads) != len(gdb) {
		fmt.Fprintf(&b, "%d threads, gdb has %d\n", len(ps.threads), len(gdb))
	}
	for _, th := range ps.threads {
		ours := th.addrs()
		if th.end != "" {
			fmt.Fprintf(&b, "thread %d: %s\n", th.tid, th)
		}
		if !agree(ours, gdb[th.tid]) {
			fmt.Fprintf(&b, "thread %d %q differs from gdb's:\n%x\n%s", th.tid, th.name, gdb[th.tid], th)
		}
		if !agree(ours, eu[th.tid]) {
			fmt.Fprintf(&b, "thread %d %q differs from eu-stack's:\n%x\n%s", th.tid, th.name, eu[th.tid], th)
		}
	}
	return b.String()
}

// agree compares a stack with a peer's. Peers may know less or invent more at
// the outer end, and nowhere else:
//   - eu-stack stops where there is no call frame information;
//   - gdb unwinds beyond the outermost frame (clone, _start, runtime.goexit)
//     with "past-entry" set, and then shows what lies on the stack as a frame
//     or two, at an address 0 or in no code.
func agree(ours, peer []uint64) bool {
	n := min(len(ours), len(peer))
	return n > 0 && slices.Equal(ours[:n], peer[:n])
}
