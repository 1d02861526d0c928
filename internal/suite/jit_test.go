//go:build linux

package suite

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// jitProgram compiles a function for each line that it reads, and stays in a
// function, called by the others, when it is told to.
const jitProgram = `
let sink = 0;
function compile(name) {
	const f = new Function("n", "return function " + name + "(n) { let s = 0; for (let i = 0; i < n; i++) s += Math.sqrt(i) % 7; return s }")();
	for (let i = 0; i < 3000; i++) sink += f(100);
}
function jsSpin(until) { while (Date.now() < until) sink++; return sink }
compile("jsFirst");
console.log("ready 0");
require("readline").createInterface({ input: process.stdin }).on("line", line => {
	if (line == "spin") {
		console.log("spins");
		while (jsSpin(Date.now() + 1000) > 0);
	}
	compile(line);
	console.log("compiled " + line);
});
`

// startNode runs jitProgram.
func startNode(t *testing.T) *proc {
	t.Helper()
	node := testenv.Need(t, "node", "nodejs")
	script := filepath.Join(tempDir(t), "jit.js")
	if err := os.WriteFile(script, []byte(jitProgram), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := command(node, "--perf-basic-prof", script)
	cmd.Dir = filepath.Dir(script) // where it leaves a log
	p := startCmd(t, cmd)
	t.Cleanup(func() { os.Remove(perfMapOf(p)) })
	return p
}

func perfMapOf(p *proc) string { return fmt.Sprintf("/tmp/perf-%d.map", p.pid) }

// compiledAt waits for a function in the perf map, where its last entry counts.
func compiledAt(t *testing.T, p *proc, name string) (addr string) {
	t.Helper()
	entry := regexp.MustCompile(`(?m)^([0-9a-f]+) [0-9a-f]+ \S*?:?[*^+~]?` + name + ` .*\n`)
	waitFor(t, name+" in the perf map", func() bool {
		b, _ := os.ReadFile(perfMapOf(p))
		m := entry.FindAllSubmatch(b, -1)
		if m == nil {
			return false
		}
		addr = string(m[len(m)-1][1])
		return true
	})
	return addr
}

// bt, while it names the addresses of a process that runs on, learns of the
// code that is compiled meanwhile.
func TestJITGrows(t *testing.T) {
	p := startNode(t)
	first := compiledAt(t, p, "jsFirst")
	cmd := btCmd(t, "--pid", itoa(p.pid), "-")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	answers := bufio.NewReader(stdout)
	ask := func(addr, name string) {
		t.Helper()
		line := ""
		for end := time.Now().Add(patience); !strings.Contains(line, name); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s is not %s but %s", addr, name, line)
			}
			fmt.Fprintln(stdin, addr)
			if line, err = answers.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(first, "jsFirst")
	for _, name := range []string{"jsSecond", "jsThird"} {
		fmt.Fprintln(p.in, name)
		p.line(t, "compiled "+name)
		ask(compiledAt(t, p, name), name)
	}
}

// The stack of a program in JavaScript.
func TestJITStack(t *testing.T) {
	p := startNode(t)
	fmt.Fprintln(p.in, "spin")
	p.line(t, "spins")
	compiledAt(t, p, "jsSpin")
	waitFor(t, "JavaScript names in a stack", func() bool {
		return strings.Contains(bt(t, "--pid", itoa(p.pid), "--tid", itoa(p.pid)).stdout, "jsSpin ")
	})
}
