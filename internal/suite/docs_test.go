//go:build linux

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// docProgram compiles a program of testdata/docs into a directory, as if its source were
// in /src.
func docProgram(t *testing.T, dir, src string, flags ...string) string {
	t.Helper()
	sources, err := filepath.Abs("../../testdata/docs")
	if err != nil {
		t.Fatal(err)
	}
	prog := filepath.Join(dir, strings.TrimSuffix(src, filepath.Ext(src)))
	if filepath.Ext(src) == ".go" {
		testenv.Compile(t, prog, "go", filepath.Join(sources, src))
		return prog
	}
	testenv.Compile(t, prog, "gcc", append(flags, "-O1", "-g", "-pthread", "-fdebug-prefix-map="+sources+"=/src", filepath.Join(sources, src))...)
	return prog
}

// startAs starts a program by its name alone, as users do, until it says that it is ready.
func startAs(t *testing.T, prog string, args ...string) *proc {
	t.Helper()
	cmd := exec.Command(prog, args...)
	cmd.Args[0] = "./" + filepath.Base(prog)
	cmd.Dir = filepath.Dir(prog)
	p := startProgram(t, cmd)
	p.line(t, "ready")
	return p
}

// Every command in the pages of docs does what the page says.
func TestDocs(t *testing.T) {
	testenv.Need(t, "script", "bsdutils")
	testenv.Need(t, "pidof", "sysvinit-utils")
	testenv.Need(t, "jq", "jq")
	for page, prepare := range map[string]func(t *testing.T, dir string){
		"hung-go-service.md": func(t *testing.T, dir string) {
			startAs(t, docProgram(t, dir, "shopd.go"))
		},
		"container-crash.md": func(t *testing.T, dir string) {
			testenv.NeedRoot(t)
			docProgram(t, dir, "worker.c")
			root := filepath.Join(dir, "container")
			if err := os.MkdirAll(filepath.Join(root, "app"), 0o755); err != nil {
				t.Fatal(err)
			}
			docProgram(t, filepath.Join(root, "app"), "bank.c", "-static")
			cmd := exec.Command("/app/bank")
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
			startProgram(t, cmd).line(t, "ready")
		},
		"perf-addr2line.md": func(t *testing.T, dir string) {
			testenv.Need(t, "addr2line", "binutils")
			testenv.Need(t, "perf", "linux-perf")
			docProgram(t, dir, "spin.c")
		},
		"core-elsewhere.md": func(t *testing.T, dir string) {
			prog := docProgram(t, dir, "worker.c")
			p := startAs(t, prog, "wait")
			core := p.gcore(t)
			copyFile(t, core, filepath.Join(dir, "core.1234"))
			keepFiles(t, p.pid, filepath.Join(dir, "files"))
		},
		"slow-program.md": func(t *testing.T, dir string) {
			startAs(t, docProgram(t, dir, "slowd.c"))
		},
		"log-addresses.md": func(t *testing.T, dir string) {
			docProgram(t, dir, "worker.c", "-no-pie")
			startAs(t, docProgram(t, dir, "bank.c"))
		},
	} {
		t.Run(page, func(t *testing.T) {
			dir := tempDir(t)
			prepare(t, dir)
			text, err := os.ReadFile("../../docs/" + page)
			if err != nil {
				t.Fatal(err)
			}
			examples := console(string(text))
			if len(examples) < 2 {
				t.Fatalf("%d examples in docs/%s", len(examples), page)
			}
			for _, e := range examples {
				e.check(t, dir)
			}
		})
	}
}

// example is a command of a page, and what it prints.
type example struct {
	command string
	output  []string
}

// console finds the commands in the blocks of a page that are marked "console": they
// stand behind "$ ", go on where a line ends with a backslash, and what they print
// follows them.
func console(page string) (list []example) {
	inside, more := false, false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case isCommand:
			list = append(list, example{command: command})
			more = strings.HasSuffix(line, `\`)
		case more:
			list[len(list)-1].command += "\n" + line
			more = strings.HasSuffix(line, `\`)
		default:
			e := &list[len(list)-1]
			e.output = append(e.output, line)
		}
	}
	return list
}

// check runs the command as at a terminal. Each line that the page shows must be printed,
// in that order; a line "…" stands for any number of others, "…" in a line for any text.
// Numbers differ from run to run.
func (e *example) check(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("script", "-qec", "set -o pipefail; "+e.command, "/dev/null")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(btPath)+":"+os.Getenv("PATH"), "HOME="+dir, "NO_COLOR=1", "SHELL=/bin/bash", "TERM=xterm", "DEBUGINFOD_URLS=")
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err != nil && code != 3 && !strings.Contains(e.command, "bt run") {
		t.Errorf("%s: %v\n%s", e.command, err, out)
		return
	}
	got := strings.Split(strings.TrimRight(string(progress.ReplaceAll(out, nil)), "\n"), "\n")
	at, skip := 0, len(e.output) == 0
	for _, want := range e.output {
		if want == "…" {
			skip = true
			continue
		}
		re := pattern(want)
		first := at
		for at < len(got) && !re.MatchString(got[at]) {
			at++
		}
		if at == len(got) || at > first && !skip {
			t.Errorf("%s\ndoes not print, at its place, %s\nbut:\n%s", e.command, want, strings.Join(got, "\n"))
			return
		}
		at, skip = at+1, false
	}
	if at < len(got) && !skip {
		t.Errorf("%s\nprints more than the page shows:\n%s", e.command, strings.Join(got, "\n"))
	}
}

// progress matches what a slow machine shows meanwhile, in lines that are cleared again,
// and the terminal's ends of lines.
var progress = regexp.MustCompile(`(?m)^.*\x1b\[K|\r`)

// number matches what differs from run to run: addresses, offsets, numbers.
var number = regexp.MustCompile(`\b(0x)?[0-9a-f]{8,16}\b|0x[0-9a-f]+|\d+`)

// pattern is what matches a line of a page.
func pattern(line string) *regexp.Regexp {
	var b strings.Builder
	for i, part := range strings.Split(line, "…") {
		if i > 0 {
			b.WriteString(".*")
		}
		at := 0
		for _, m := range number.FindAllStringIndex(part, -1) {
			b.WriteString(regexp.QuoteMeta(part[at:m[0]]) + `(0x)?[0-9a-f]+`)
			at = m[1]
		}
		b.WriteString(regexp.QuoteMeta(part[at:]))
	}
	return regexp.MustCompile("^" + b.String() + "$")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// keepFiles copies the files that a process has mapped below a directory, and removes its
// program: as on another machine.
func keepFiles(t *testing.T, pid int, dir string) {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + itoa(pid) + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range regexp.MustCompile(`(?m) (/\S+)$`).FindAllStringSubmatch(string(maps), -1) {
		copyFile(t, path[1], filepath.Join(dir, path[1]))
	}
	exe, err := os.Readlink("/proc/" + itoa(pid) + "/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(exe); err != nil {
		t.Fatal(err)
	}
}
