//go:build linux

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
		same      comparison
	}{
		{"python3", "python3", []string{"-c", "import threading,time\n" +
			"for i in range(4): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n" +
			"print('ready', flush=True)\ntime.sleep(1000)"}, gdbAndEu},
		{"node", "nodejs", []string{"-e", "setInterval(() => {}, 1e6); console.log('ready')"}, gdbAndEu},
		{"gdb", "gdb", []string{"-nx", "-q", "-ex", `echo ready\n`}, gdbAndEu},
		{"go", "golang-go", []string{"generate", filepath.Join(goGenerate(t), "wait.go")}, euLeafless},
		{build(t, "go", "gospin.go"), "", []string{"idle"}, goTop},
	} {
		t.Run(filepath.Base(tc.tool), func(t *testing.T) {
			t.Parallel()
			prog := testenv.Need(t, tc.tool, tc.pkg)
			p := startCmd(t, command(prog, tc.args...))
			var diff string
			// A thread may wake for a moment: what differs is looked at again.
			for range 4 {
				waitAtRest(p.pid)
				if diff = comparePeers(t, p.pid, tc.same); diff == "" {
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
	src := "package wait\n\n//go:generate sh -c \"echo ready; exec sleep 300\"\n"
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

// comparison is what a program's stacks can be compared with.
type comparison int

const (
	gdbAndEu comparison = iota // all frames of both
	// goTop is gdbAndEu but for the outermost frame: bt ends at
	// runtime.mstart as Go's own tracebacks do, peers show its caller.
	goTop
	// euLeafless is for a Go program without call frame information, which
	// has frame pointers: gdb guesses, and eu-stack misses the caller of an
	// innermost function that keeps no frame.
	euLeafless
)

// comparePeers says where bt's stacks are not those of gdb and eu-stack.
func comparePeers(t *testing.T, pid int, how comparison) string {
	t.Helper()
	var b strings.Builder
	code := executable(t, pid)
	ps := snapshot(t, pid, "-n", "0")
	compare := func(peer string, stacks map[int][]uint64, misses int) {
		if len(ps.threads) != len(stacks) {
			fmt.Fprintf(&b, "%d threads, %s has %d\n", len(ps.threads), peer, len(stacks))
		}
		for _, th := range ps.threads {
			// Go's outermost frames do not say that they are: peers go on
			// and take what is on the stack for a frame.
			theirs := stacks[th.tid]
			if end := slices.IndexFunc(theirs, func(a uint64) bool { return !code(a) }); end >= 0 {
				theirs = theirs[:end]
			}
			ours := th.addrs()
			if how == goTop && len(theirs) == len(ours)+1 {
				theirs = theirs[:len(ours)]
			}
			for i := 0; i < misses && len(ours) > 1 && !slices.Equal(ours, theirs); i++ {
				ours = slices.Delete(ours, 1, 2)
			}
			if !slices.Equal(ours, theirs) || th.end != "" {
				fmt.Fprintf(&b, "thread %d %q differs from %s's\n%x\n%s", th.tid, th.name, peer, stacks[th.tid], th)
			}
		}
	}
	if how == euLeafless {
		compare("eu-stack", euStacks(t, pid), 1)
	} else {
		compare("gdb", gdbStacks(t, pid), 0)
		compare("eu-stack", euStacks(t, pid), 0)
	}
	return b.String()
}

// executable tells whether an address is in executable memory of a process.
func executable(t *testing.T, pid int) func(uint64) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	var ranges [][2]uint64
	for line := range strings.Lines(string(b)) {
		var lo, hi uint64
		var perm string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &lo, &hi, &perm); err == nil && strings.Contains(perm, "x") {
			ranges = append(ranges, [2]uint64{lo, hi})
		}
	}
	return func(a uint64) bool {
		return slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= a && a < r[1] })
	}
}
