//go:build linux

package suite

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// functionsOf are the functions of each thread and goroutine in bt's text, innermost first,
// with inlined ones, and how many threads or goroutines they stand for.
func functionsOf(text string) (stacks [][]string) {
	var stack []string
	count := 0
	end := func() {
		for range count {
			if len(stack) > 0 {
				stacks = append(stacks, stack)
			}
		}
		stack, count = nil, 0
	}
	more := regexp.MustCompile(`^# goroutines .* and (\d+) more \[|^# goroutines ([\d, ]+(?: and \d+)?) \[`)
	frame := regexp.MustCompile(`^[0-9a-f]{16} <(.*?)(\+0x[0-9a-f]+)?>`)
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "# thread "), strings.HasPrefix(line, "# goroutine "):
			end()
			count = 1
		case strings.HasPrefix(line, "# goroutines "):
			end()
			m := more.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			if m[1] != "" {
				fmt.Sscan(m[1], &count)
				count += 3
			} else {
				count = len(regexp.MustCompile(`\d+`).FindAllString(m[2], -1))
			}
		default:
			if m := frame.FindStringSubmatch(line); m != nil {
				stack = append(stack, m[1])
			}
		}
	}
	end()
	return stacks
}

// pprofTool is a report of go tool pprof's, of all functions.
func pprofTool(t *testing.T, file string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append(append([]string{"tool", "pprof", "-symbolize=none", "-nodefraction=0", "-edgefraction=0", "-nodecount=100000"}, args...), file)...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pprof %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// go tool pprof's reports of a live process agree with bt's text, function by function.
func TestPprofLive(t *testing.T) {
	for name, p := range map[string]*proc{
		"C":  start(t, build(t, "gcc", "threads.c", "-O1", "-g"), "8", "5"),
		"Go": startAs(t, docProgram(t, tempDir(t), "shopd.go")),
	} {
		t.Run(name, func(t *testing.T) {
			p.freeze(t)
			file := filepath.Join(tempDir(t), "profile.pb.gz")
			bt(t, "--pid", itoa(p.pid), "--format", "pprof", "-o", file).want(t, 0)
			flat, cum, calls := make(map[string]int), make(map[string]int), make(map[string]bool)
			stacks := functionsOf(bt(t, "--pid", itoa(p.pid), "-i").want(t, 0).stdout)
			for _, s := range stacks {
				flat[s[0]]++
				for i, f := range s {
					if !slices.Contains(s[:i], f) {
						cum[f]++
					}
					if i > 0 {
						calls[f+" → "+s[i-1]] = true
					}
				}
			}
			if len(stacks) < 9 || len(cum) < 5 {
				t.Fatalf("stacks: %q", stacks)
			}

			got := make(map[string]string)
			for line := range strings.Lines(pprofTool(t, file, "-top")) {
				if f := strings.Fields(line); len(f) >= 6 && strings.HasSuffix(f[4], "%") {
					got[strings.TrimSuffix(strings.Join(f[5:], " "), " (inline)")] = f[0] + " " + f[3]
				}
			}
			want := make(map[string]string)
			for f, n := range cum {
				want[f] = fmt.Sprint(flat[f], " ", n)
			}
			if !maps.Equal(got, want) {
				t.Errorf("-top has %v\nthe text %v", got, want)
			}

			raw := pprofTool(t, file, "-raw")
			for f := range cum {
				if !strings.Contains(raw, " "+f+" ") {
					t.Errorf("-raw does not have %s", f)
				}
			}
			for _, call := range slices.Sorted(maps.Keys(calls))[:5] {
				caller, callee, _ := strings.Cut(call, " → ")
				peek := pprofTool(t, file, "-peek=^"+regexp.QuoteMeta(caller)+"$")
				if !regexp.MustCompile(`(?m) ` + regexp.QuoteMeta(callee) + `( \(inline\))?$`).MatchString(peek) {
					t.Errorf("-peek %s does not have %s:\n%s", caller, callee, peek)
				}
			}
		})
	}
}
