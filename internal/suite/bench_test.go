//go:build linux

package suite

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// BenchmarkWall measures bt --pid from start to exit against eu-stack and gdb,
// in turn, on the same process. (How long the process stands still meanwhile is
// BenchmarkPause's matter, in target/live.)
func BenchmarkWall(b *testing.B) {
	const python = `import threading, time
for _ in range(4): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("ready", flush=True)
time.sleep(600)`
	for _, c := range []struct {
		name string
		src  string // of the program; or
		tool string
		args []string
		gdb  bool // does not take gdb half a minute
	}{
		{name: "threads=1", src: "threads.c", args: []string{"0", "16"}, gdb: true},
		{name: "threads=100", src: "threads.c", args: []string{"100", "16"}, gdb: true},
		{name: "threads=1000", src: "threads.c", args: []string{"1000", "24"}, gdb: true},
		{name: "frames=10000", src: "deep.c", args: []string{"10000"}, gdb: true},
		{name: "frames=100000", src: "deep.c", args: []string{"100000"}},
		{name: "python3", tool: "python3", args: []string{"-c", python}, gdb: true},
		{name: "node", tool: "node", args: []string{"-e", `console.log("ready"); setInterval(() => {}, 1e6)`}, gdb: true},
	} {
		b.Run(c.name, func(b *testing.B) {
			var prog string
			if c.src != "" {
				prog = build(b, "gcc", c.src, "-O1")
			} else {
				prog = testenv.Need(b, c.tool, c.tool)
			}
			pid := itoa(start(b, append([]string{prog}, c.args...)...).pid)
			peers := []peer{
				{name: "bt", argv: []string{btPath, "-n", "0", "-p", pid}},
				{name: "eu-stack", argv: []string{"eu-stack", "-n", "0", "-p", pid}},
			}
			if c.gdb {
				peers = append(peers, peer{name: "gdb", argv: []string{"gdb", "-nx", "-batch", "-p", pid, "-ex", "thread apply all bt"}})
			}
			race(b, peers, nil)
		})
	}
}

// peer is one of the programs that run against each other.
type peer struct {
	name string
	argv []string
	// most is how many of the input's lines it gets, 0 for all. The time for
	// the rest is extrapolated from those for a single one and for these.
	most int
}

// rounds is how often each peer runs at least.
const rounds = 5

// race runs the peers in turn, each with the lines of input on its standard
// input, and reports each one's median in milliseconds and how it compares with
// the first. Those that are not installed are named.
func race(b *testing.B, peers []peer, input *input) {
	peers = slices.DeleteFunc(slices.Clone(peers), func(p peer) bool {
		_, err := exec.LookPath(p.argv[0])
		if err != nil {
			b.Logf("%s is not installed", p.name)
		}
		return err != nil
	})
	times := make([][]time.Duration, len(peers))
	round := func() {
		for i, p := range peers {
			times[i] = append(times[i], p.run(b, input))
		}
	}
	for b.Loop() {
		round()
	}
	for len(times[0]) < rounds {
		round()
	}
	var first time.Duration
	for i, p := range peers {
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		b.ReportMetric(float64(median.Microseconds())/1000, "ms-"+p.name)
		if i == 0 {
			first = median
		} else {
			b.ReportMetric(float64(median)/float64(first), p.name+"/"+peers[0].name)
		}
	}
	b.ReportMetric(0, "ns/op") // of a round: says nothing
}

// run returns how long the peer takes for all of the input.
func (p *peer) run(b *testing.B, input *input) time.Duration {
	once := func(lines int) time.Duration {
		cmd := exec.Command(p.argv[0], p.argv[1:]...)
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		if input != nil {
			f, err := os.Open(input.head(b, lines))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			cmd.Stdin = f
		}
		start := time.Now()
		if err := cmd.Run(); err != nil && p.argv[0] == btPath {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	if input == nil {
		return once(0)
	}
	all := len(input.lines)
	if p.most == 0 || p.most >= all {
		return once(all)
	}
	single, several := once(1), once(p.most)
	return single + max(0, several-single)*time.Duration(all-1)/time.Duration(p.most-1)
}
