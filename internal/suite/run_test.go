//go:build linux

package suite

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// death is what bt run says of why a process died.
type death struct {
	cause, insn string
	code, regs  int // lines
}

var (
	causeLine = regexp.MustCompile(`^# killed by (.*)$`)
	insnLine  = regexp.MustCompile(`^# instruction (?:[0-9a-f]{8}){1,2}: (.*)$`)
	codeLine  = regexp.MustCompile(`^# code ([0-9a-f]{2} )*<[0-9a-f]{2}>( [0-9a-f]{2})*$`)
	regsLine  = regexp.MustCompile(`^# registers( [a-z0-9]+=(?:[0-9a-f]{8}){1,2})+$`)
)

// parseRun reads reports of bt run: deaths, and the processes as bt --pid
// prints them.
func parseRun(t testing.TB, out string) (ds []death, ps []process) {
	t.Helper()
	var rest strings.Builder
	for line := range strings.Lines(out) {
		text := strings.TrimSuffix(line, "\n")
		var d *death
		if len(ds) > 0 {
			d = &ds[len(ds)-1]
		}
		if m := causeLine.FindStringSubmatch(text); m != nil {
			ds = append(ds, death{cause: m[1]})
		} else if m := insnLine.FindStringSubmatch(text); m != nil && d != nil {
			d.insn = m[1]
		} else if codeLine.MatchString(text) && d != nil {
			d.code++
		} else if regsLine.MatchString(text) && d != nil {
			d.regs++
		} else {
			rest.WriteString(line)
		}
	}
	return ds, parse(t, rest.String())
}

// crash is a way in which the program crash dies: what its first thread shows, by
// the exit status, the cause, and the instruction.
type crash struct {
	args        string
	status      int
	cause, insn string
	chain       string
	arch        string // "64" or "" for any
}

// crashes are those ways on x86; crashesOf has those of other CPUs.
var crashes = []crash{
	{"null", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x10: a null pointer; nothing is mapped there`, `mov .*0x10\(%.*\),%eax`, "read_null run main libc _start", ""},
	{"constant", 139, `SIGSEGV \(SEGV_ACCERR\) at 0x[0-9a-f]+: a write; in r--p \S+crash-\d+ \(0x[0-9a-f]+-0x[0-9a-f]+\)`, `movl \$0x1,\(%.*\)`, "write_constant run main libc _start", ""},
	{"callnull", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x0: a null pointer was called; nothing is mapped there`, ``, "0x0 call run main libc _start", ""},
	{"calldata", 139, `SIGSEGV \(SEGV_ACCERR\) at 0x[0-9a-f]+: the program jumped there; in r--p .*`, ``, "- call run main libc _start", ""},
	{"abort", 134, `SIGABRT \(SI_TKILL\): sent by the process itself`, ``, "libc abort aborts run main libc _start", ""},
	{"divide 7", 136, `SIGFPE \(FPE_INTDIV\) at 0x[0-9a-f]+`, `idiv.*`, "divide run main libc _start", ""},
	{"illegal", 132, `SIGILL \(ILL_ILLOPN\) at 0x[0-9a-f]+`, `ud2`, "illegal run main libc _start", ""},
	{"break", 133, `SIGTRAP \(SI_KERNEL\)`, `int3`, "breaks run main libc _start", ""},
	{"overflow", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x[0-9a-f]+: a stack overflow; nothing is mapped there, 0x[0-9a-f]+ below rw-p \[stack\] .*`, `.*`, "overflow*256", ""},
	{"overflowgiveup", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x[0-9a-f]+: a stack overflow; .*`, `.*`, "overflow*256", ""},
	{"canonical", 139, `SIGSEGV \(SI_KERNEL\) at 0xdeadbeefdeadbeef: the address is not canonical; nothing is mapped there`, `mov \(%rax\),%eax`, "not_canonical run main libc _start", "64"},
	{"misaligned", 139, `SIGSEGV \(SI_KERNEL\) at 0x[0-9a-f]+: the address is not aligned; in r--p .*`, `movaps \(%r..\),%xmm0`, "misaligned run main libc _start", "64"},
	{"pastend", 135, `SIGBUS \(BUS_ADRERR\) at 0x[0-9a-f]+: beyond the end of the file; in r--s /memfd:short .*`, `mov.*`, "past_end run main libc _start", ""},
	{"seccomp", 159, `SIGSYS \(SYS_SECCOMP\) at 0x[0-9a-f]+: system call \d+`, ``, "libc syscall forbidden run main libc _start", ""},
	{"raise 3", 131, `SIGQUIT \(SI_TKILL\): sent by the process itself`, ``, "libc run main libc _start", ""},
	{"blocked", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x10: .*`, `mov.*`, "read_null run main libc _start", ""},
	{"giveup", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x10: .*`, `mov.*`, "read_null run main libc _start", ""},
	{"handler", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x10: .*`, `mov.*`, "read_null in_handler SIG?SIGUSR1 libc run main libc _start", ""},
	{"execthread 2", 139, `SIGSEGV \(SEGV_MAPERR\) at 0x10: .*`, `mov.*`, "read_null run main libc _start", ""},
}

// crashesARM64 is what a CPU of that name tells in another way. It does not trap
// divisions.
var crashesARM64 = map[string]struct {
	status      int // 0: the same
	cause, insn string
}{
	"null":           {insn: `ldr w0, \[x0, #16\]`},
	"constant":       {insn: `str w1, \[x0\]`},
	"divide 7":       {status: -1},
	"illegal":        {cause: `SIGILL \(ILL_ILLOPC\) at 0x[0-9a-f]+`, insn: `udf #0`},
	"break":          {cause: `SIGTRAP \(TRAP_BRKPT\) at 0x[0-9a-f]+`, insn: `brk #0x0`},
	"canonical":      {cause: `SIGSEGV \(SEGV_MAPERR\) at 0x(de|ff)adbeefdeadbeef: the address is not canonical; nothing is mapped there`, insn: `ldr w0, \[x[0-9]+\]`},
	"misaligned":     {status: 135, cause: `SIGBUS \(BUS_ADRALN\) at 0x[0-9a-f]+: the address is not aligned; in r--p .*`, insn: `ldaxr w0, \[x[0-9]+\]`},
	"pastend":        {insn: `ldrb .*`},
	"blocked":        {insn: `ldr .*`},
	"giveup":         {insn: `ldr .*`},
	"handler":        {insn: `ldr .*`},
	"execthread 2":   {insn: `ldr .*`},
	"overflow":       {insn: `st.*`},
	"overflowgiveup": {insn: `st.*`},
}

// crashesOf is the table of a CPU, by its GOARCH.
func crashesOf(cpu string) []crash {
	list := slices.Clone(crashes)
	if cpu != "arm64" {
		return list
	}
	for i := range list {
		c := &list[i]
		own := crashesARM64[c.args]
		if own.status != 0 {
			c.status = own.status
		}
		if own.cause != "" {
			c.cause = own.cause
		}
		if own.insn != "" {
			c.insn = own.insn
		}
	}
	return slices.DeleteFunc(list, func(c crash) bool { return c.status < 0 })
}

func TestRunCrashes(t *testing.T) {
	for _, fl := range []struct {
		name, cc string
		flags    []string
	}{
		{"64", "gcc", []string{"-O1"}},
		{"32", "gcc", []string{"-O1", "-m32"}},
		{"static", "gcc", []string{"-O1", "-static"}},
	} {
		t.Run(fl.name, func(t *testing.T) {
			needPtrace(t)
			if testing.Short() && fl.name != "64" {
				t.Skip("-short")
			}
			t.Parallel()
			prog := build(t, fl.cc, "crash.c", fl.flags...)
			for _, c := range crashesOf(runtime.GOARCH) {
				if c.arch == "64" && fl.name == "32" {
					continue
				}
				t.Run(c.args, func(t *testing.T) {
					r := bt(t, append([]string{"run", prog}, strings.Fields(c.args)...)...)
					if r.code != c.status || r.stdout != "" {
						t.Errorf("exit %d, want %d; stdout %q", r.code, c.status, r.stdout)
					}
					ds, ps := parseRun(t, r.stderr)
					if len(ds) != 1 || len(ps) != 1 {
						t.Fatalf("%d deaths of %d processes:\n%s", len(ds), len(ps), r.stderr)
					}
					d, th := ds[0], ps[0].threads[0]
					if !regexp.MustCompile(`^` + c.cause + `$`).MatchString(d.cause) {
						t.Errorf("killed by %s\nwant      %s", d.cause, c.cause)
					}
					if !regexp.MustCompile(`^` + c.insn + `$`).MatchString(d.insn) {
						t.Errorf("instruction %s, want %s", d.insn, c.insn)
					}
					if (d.code == 1) != (c.insn != "") || d.regs < 3 {
						t.Errorf("%d lines of code, %d of registers", d.code, d.regs)
					}
					if ps[0].path != prog || th.tid != ps[0].pid {
						t.Errorf("process %+v", ps[0])
					}
					th.end = strings.Replace(th.end, "cut after 256 frames (--max-frames)", "", 1)
					th.wantChain(t, c.chain)

					// A report is passed through by bt as it is, named anew.
					if fed := feed(t, r.stderr, "--raw", "--exe", prog); fed.code != 0 || comments(fed.stdout) != comments(r.stderr) {
						t.Errorf("fed to bt: exit %d\n%s", fed.code, head(fed.stdout))
					}
				})
			}
		})
	}
}

// comments are the lines that are no frames.
func comments(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Commands that do not die of a signal, or of one that is no sign of a fault,
// end as they would without bt.
func TestRunEnds(t *testing.T) {
	needPtrace(t)
	prog := build(t, "gcc", "crash.c", "-O1")
	for _, tt := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{prog, "exit", "0"}, 0, ""},
		{[]string{prog, "exit", "3"}, 3, ""},
		{[]string{prog, "exit", "255"}, 255, ""},
		{[]string{"--", prog, "exit", "3"}, 3, ""},
		{[]string{prog, "--", "exit"}, 99, ""}, // the flags behind are the command's
		{[]string{prog, "ignored", "11"}, 0, ""},
		{[]string{prog, "ignored", "15"}, 0, ""},
		{[]string{prog, "jump", "1000"}, 0, ""},
		{[]string{prog, "overflowjump"}, 0, ""},
		{[]string{prog, "storm", "2000"}, 0, ""},
		{[]string{prog, "urgent", "2000"}, 0, ""},
		{[]string{prog, "spawn", "200"}, 0, ""},
		{[]string{prog, "fork"}, 0, ""},
		{[]string{prog, "clone"}, 0, ""},
		{[]string{prog, "vfork"}, 0, ""},
		{[]string{"sh", "-c", "sh -c 'exit 7'; exec sh -c 'exec sh -c \"exit 4\"'"}, 4, ""},
		{[]string{prog, "raise", "15"}, 143, `# process \d+ killed by SIGTERM \(SI_TKILL\): sent by the process itself`},
		{[]string{prog, "raise", "13"}, 141, `# process \d+ killed by SIGPIPE \(SI_TKILL\): sent by the process itself`},
		{[]string{prog, "raise", "9"}, 137, `# process \d+ killed by SIGKILL`},
		{[]string{prog, "raise", "40"}, 168, `# process \d+ killed by SIGRTMIN\+6 \(SI_TKILL\): sent by the process itself`},
		{[]string{"no-such-command"}, 127, `bt: no-such-command: .*not found.*`},
		{[]string{"/no/such/command"}, 127, `bt: /no/such/command: no such file or directory`},
		{[]string{"/etc/passwd"}, 126, `bt: /etc/passwd: permission denied`},
		{[]string{"/"}, 126, `bt: /: .*`},
		{[]string{}, 2, `bt: .*`},
		{[]string{"--nonsense", prog}, 2, `bt: .*`},
		{[]string{"-o", "/no/such/dir/file", prog, "exit", "0"}, 125, `bt: .*/no/such/dir/file.*`},
	} {
		r := bt(t, append([]string{"run"}, tt.args...)...)
		if r.code != tt.status || r.stdout != "" || !regexp.MustCompile(`^(`+tt.stderr+`)\n?$`).MatchString(r.stderr) {
			t.Errorf("%q: exit %d, want %d\nstdout %q, stderr %q", tt.args, r.code, tt.status, r.stdout, head(r.stderr))
		}
	}
}

// What is no program is a script, as for every shell.
func TestRunScript(t *testing.T) {
	needPtrace(t)
	script := filepath.Join(tempDir(t), "script")
	if err := os.WriteFile(script, []byte("echo \"$1\"\nexit 5\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := bt(t, "run", script, "hello"); r.code != 5 || r.stdout != "hello\n" || r.stderr != "" {
		t.Errorf("%+v", r)
	}
}

func TestRunThreads(t *testing.T) {
	needPtrace(t)
	prog := build(t, "gcc", "crash.c", "-O1")
	const crashed = "read_null crashing_thread libc"
	for mode, others := range map[string]int{"thread": 6, "leader": 5} {
		r := bt(t, "run", prog, mode, "5")
		ds, ps := parseRun(t, r.stderr)
		if r.code != 139 || len(ds) != 1 || len(ps) != 1 || len(ps[0].threads) != 1+others {
			t.Fatalf("%s: exit %d\n%s", mode, r.code, r.stderr)
		}
		ps[0].threads[0].wantChain(t, crashed)
		for _, th := range ps[0].threads[1:] {
			chain := "libc idle libc"
			if th.tid == ps[0].pid {
				chain = "libc idle run main libc _start"
			}
			th.wantChain(t, chain)
		}
	}
	r := bt(t, "run", "--all-threads=false", prog, "thread", "5")
	if _, ps := parseRun(t, r.stderr); len(ps) != 1 || len(ps[0].threads) != 1 {
		t.Errorf("one thread:\n%s", r.stderr)
	} else {
		ps[0].threads[0].wantChain(t, crashed)
	}
}

func TestRunFollowForks(t *testing.T) {
	needPtrace(t)
	prog := build(t, "gcc", "crash.c", "-O1")
	for mode, chain := range map[string]string{
		"fork":  "read_null run main libc _start",
		"vfork": "read_null run main libc _start",
		"clone": "read_null child libc",
	} {
		r := bt(t, "run", "--follow-forks", prog, mode)
		ds, ps := parseRun(t, r.stderr)
		if r.code != 0 || len(ds) != 1 || len(ps) != 1 {
			t.Errorf("%s: exit %d\n%s", mode, r.code, r.stderr)
			continue
		}
		ps[0].threads[0].wantChain(t, chain)
	}
	script := fmt.Sprintf("%[1]s null; (%[1]s abort); %[1]s exit 3; kill -TERM $$", prog)
	r := bt(t, "run", "--follow-forks", "sh", "-c", script)
	ds, _ := parseRun(t, regexp.MustCompile(`(?m)^([^#0-9a-f].*|# process \d+ killed.*)\n`).ReplaceAllString(r.stderr, ""))
	if r.code != 143 || len(ds) != 2 || !strings.HasPrefix(ds[0].cause, "SIGSEGV") || !strings.HasPrefix(ds[1].cause, "SIGABRT") ||
		strings.Count(r.stderr, " killed by SIGTERM") != 1 {
		t.Errorf("exit %d\n%s", r.code, r.stderr)
	}
}

func TestRunOutput(t *testing.T) {
	needPtrace(t)
	prog := build(t, "gcc", "crash.c", "-O1")
	file := filepath.Join(tempDir(t), "report")
	for _, flags := range [][]string{nil, {"--raw", "--with-maps"}} {
		r := bt(t, append(append([]string{"run", "-o", file}, flags...), prog, "null")...)
		report, err := os.ReadFile(file)
		if r.code != 139 || r.stdout != "" || r.stderr != "" || err != nil {
			t.Fatalf("exit %d, stderr %q, %v", r.code, r.stderr, err)
		}
		named := string(report)
		if flags != nil {
			named = regexp.MustCompile(`(?m)^# (build-id|gate-symbol) .*\n`).ReplaceAllString(feed(t, named).want(t, 0).stdout, "")
		}
		ds, ps := parseRun(t, named)
		if len(ds) != 1 || len(ps) != 1 {
			t.Fatalf("%s", named)
		}
		ps[0].threads[0].wantChain(t, "read_null run main libc _start")
	}
	// An error of the report is none of the command.
	if r := bt(t, "run", "-o", "/dev/full", prog, "null"); r.code != 139 || !strings.HasPrefix(r.stderr, "bt: ") {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
}

// The command gets standard input and output, and nothing between.
func TestRunPipes(t *testing.T) {
	needPtrace(t)
	cmd := btCmd(t, "run", "cat")
	input := bytes.Repeat([]byte("0123456789abcdef\n"), 200_000)
	cmd.Stdin = bytes.NewReader(input)
	if r := run(t, cmd).want(t, 0); r.stdout != string(input) {
		t.Errorf("%d bytes of %d", len(r.stdout), len(input))
	}
	for script, want := range map[string]string{
		`yes | "$BT" run head -n 1`: `^y\n$`,
		`"$BT" run yes | head -n 1`: `^y\n# process \d+ killed by SIGPIPE \(SI_USER\): sent by the process itself\n$`,
		// The report goes to a pipe that nobody reads.
		`exec 3>&1; { "$BT" run sh -c 'sleep 0.2; kill -SEGV $$'; echo $? >&3; } 2>&1 >/dev/null | true`: `^139\n$`,
	} {
		cmd := exec.Command("bash", "-c", "exec 2>&1; "+script+"; wait")
		cmd.Env = append(os.Environ(), "BT="+btPath)
		out, err := cmd.Output()
		if err != nil || !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s: %v, %q", script, err, out)
		}
	}
}

// --propagate ends bt by the signal that its command died of, without a core.
func TestRunPropagate(t *testing.T) {
	needPtrace(t)
	prog := build(t, "gcc", "crash.c", "-O1")
	for _, sig := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGPIPE, syscall.SIGQUIT} {
		cmd := btCmd(t, "run", "--propagate", prog, "raise", itoa(int(sig)))
		cmd.Run()
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != sig || ws.CoreDump() {
			t.Errorf("%v: %v", sig, cmd.ProcessState)
		}
	}
	bt(t, "run", "--propagate", prog, "exit", "3").want(t, 3)
}

// Programs whose runtime handles SIGSEGV are let alone.
func TestRunRuntimes(t *testing.T) {
	needPtrace(t)
	t.Run("go", func(t *testing.T) {
		prog := build(t, "go", "gonil.go")
		if r := bt(t, "run", prog, "recover"); r.code != 0 || r.stdout != "recovered\n" || r.stderr != "" {
			t.Errorf("recovered: %+v", r)
		}
		cmd := btCmd(t, "run", prog, "panic")
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 || strings.Contains(string(out), "# killed") || !strings.Contains(string(out), "nil pointer dereference") {
			t.Errorf("panic: exit %d\n%s", code, out)
		}
		// Told to, Go's runtime dies of SIGABRT in the end.
		report := filepath.Join(tempDir(t), "report")
		cmd = btCmd(t, "run", "-o", report, prog, "panic")
		cmd.Env = append(cmd.Env, "GOTRACEBACK=crash")
		cmd.CombinedOutput()
		text, _ := os.ReadFile(report)
		ds, ps := parseRun(t, string(text))
		if code := cmd.ProcessState.ExitCode(); code != 134 || len(ds) != 1 || !strings.HasPrefix(ds[0].cause, "SIGABRT") {
			t.Fatalf("crash: exit %d\n%s", code, text)
		}
		if s := ps[0].threads[0].String(); !strings.Contains(s, "main.dereference") || !strings.Contains(s, "main.main") {
			t.Errorf("crash:\n%s", s)
		}
	})
	t.Run("node", func(t *testing.T) {
		node := testenv.Need(t, "node", "nodejs")
		const script = "let s = 0; for (let i = 0; i < 1e6; i++) s += i; console.log(s)"
		if r := bt(t, "run", node, "-e", script); r.code != 0 || r.stdout != "499999500000\n" || r.stderr != "" {
			t.Errorf("%+v", r)
		}
		if r := bt(t, "run", node, "-e", "process.abort()"); r.code != 134 || !strings.Contains(r.stderr, "# killed by SIGABRT") {
			t.Errorf("exit %d\n%s", r.code, head(r.stderr))
		}
	})
}

// Many at once, with threads that crash in the midst of others that begin.
func TestRunRepeatedly(t *testing.T) {
	needPtrace(t)
	prog := build(t, "gcc", "crash.c", "-O1")
	n := 100
	if testing.Short() {
		n = 20
	}
	results := make(chan string, n)
	slots := make(chan bool, 4)
	for i := range n {
		cmd := btCmd(t, "run", prog, []string{"thread", "exit", "execthread"}[i%3], "3")
		want := []int{139, 3, 139}[i%3]
		go func() {
			slots <- true
			defer func() { <-slots }()
			out, _ := cmd.CombinedOutput()
			msg := ""
			if code := cmd.ProcessState.ExitCode(); code != want || (want == 139) != strings.Contains(string(out), "read_null") {
				msg = fmt.Sprintf("%v: exit %d, want %d\n%s", cmd.Args, code, want, head(string(out)))
			}
			results <- msg
		}()
	}
	for range n {
		if msg := <-results; msg != "" {
			t.Error(msg)
		}
	}
}
