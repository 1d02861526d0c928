//go:build linux

package suite

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// script runs one of the scripts in examples, which find bt by $BT.
func script(t *testing.T, env []string, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := filepath.Abs("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), append([]string{"BT=" + btPath}, env...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestExampleAllStacks(t *testing.T) {
	testenv.Need(t, "flock", "util-linux")
	prog := build(t, "gcc", "chain.c", "-g", "-O1")
	copied := filepath.Join(tempDir(t), "bt-example") // a name that nothing else has
	data, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o755); err != nil {
		t.Fatal(err)
	}
	a, b := start(t, copied), start(t, copied)
	dir := filepath.Join(tempDir(t), "reports")
	for range 3 {
		stdout, stderr, code := script(t, []string{"KEEP=2"}, "all-stacks", "bt-exam*", dir)
		if code != 0 || stderr != "" {
			t.Fatalf("exit %d, stderr %q", code, stderr)
		}
		report, err := os.ReadFile(strings.TrimSpace(stdout))
		if err != nil {
			t.Fatal(err)
		}
		ps := parse(t, string(report))
		if len(ps) != 2 || ps[0].pid+ps[1].pid != a.pid+b.pid {
			t.Fatalf("want the processes %d and %d:\n%s", a.pid, b.pid, report)
		}
	}
	if files, _ := filepath.Glob(dir + "/stacks-*"); len(files) != 2 {
		t.Errorf("%d files are left, want 2: %v", len(files), files)
	}
	if _, stderr, code := script(t, nil, "all-stacks", "no-such-process", dir); code != 1 || stderr == "" {
		t.Errorf("no such process: exit %d, stderr %q", code, stderr)
	}
}

func TestExampleWatchdog(t *testing.T) {
	p := start(t, build(t, "gcc", "chain.c", "-g", "-O1"))
	dir := tempDir(t)
	pidfile := filepath.Join(dir, "pid")
	if err := os.WriteFile(pidfile, []byte(itoa(p.pid)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	reports := filepath.Join(dir, "reports")
	env := []string{"PAUSE=0", "TRIES=3"}
	check := "echo asked >> " + dir + "/asked; "
	if stdout, _, code := script(t, env, "watchdog", pidfile, reports, check+"true", "echo restarted"); code != 0 || stdout != "" {
		t.Errorf("well: exit %d, %q", code, stdout)
	}
	if stdout, _, code := script(t, env, "watchdog", pidfile, reports, check+"false", "echo restarted; exit 5"); code != 5 || stdout != "restarted\n" {
		t.Errorf("hung: exit %d, %q", code, stdout)
	}
	if asked, _ := os.ReadFile(dir + "/asked"); strings.Count(string(asked), "asked") != 4 {
		t.Errorf("asked: %q", asked)
	}
	files, _ := filepath.Glob(reports + "/hang-*")
	if len(files) != 1 {
		t.Fatalf("reports: %v", files)
	}
	report, _ := os.ReadFile(files[0])
	if n := strings.Count(string(report), "# process "+itoa(p.pid)+" "); n != 2 || strings.Count(string(report), "<main+0x") != 2 {
		t.Errorf("want process %d twice:\n%s", p.pid, report)
	}
	// Without anything to look at the service is restarted all the same.
	if stdout, _, code := script(t, env, "watchdog", dir+"/nothing", reports, "false", "echo restarted"); code != 0 || stdout != "restarted\n" {
		t.Errorf("no pid: exit %d, %q", code, stdout)
	}
}

func TestExampleStopPost(t *testing.T) {
	testenv.Need(t, "gcore", "gdb")
	p := start(t, build(t, "gcc", "chain.c", "-g", "-O1"))
	dir := tempDir(t)
	if out, err := exec.Command("gcore", "-o", dir+"/core.app", itoa(p.pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stdout, _, code := script(t, []string{"SERVICE_RESULT=core-dump", "EXIT_CODE=dumped", "EXIT_STATUS=SEGV"}, "stop-post", dir+"/core.app.*")
	if code != 0 || !strings.Contains(stdout, "# process "+itoa(p.pid)) || !strings.Contains(stdout, "<main+0x") {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
	for _, env := range [][]string{{"SERVICE_RESULT=success"}, {"SERVICE_RESULT=exit-code"}, {}} {
		if stdout, stderr, code := script(t, env, "stop-post", dir+"/core.app.*"); code != 0 || stdout+stderr != "" {
			t.Errorf("%v: exit %d, %q %q", env, code, stdout, stderr)
		}
	}
	if stdout, _, code := script(t, []string{"SERVICE_RESULT=signal"}, "stop-post", dir+"/none.*"); code != 0 || !strings.Contains(stdout, "no core in") {
		t.Errorf("no core: exit %d, %q", code, stdout)
	}
}

func TestExampleEntrypoint(t *testing.T) {
	needPtrace(t)
	stdout, stderr, code := script(t, nil, "entrypoint", "sh", "-c", "echo served; exit 9")
	if code != 9 || stdout != "served\n" || stderr != "" {
		t.Errorf("exit %d, %q, stderr %q", code, stdout, stderr)
	}
	_, stderr, code = script(t, nil, "entrypoint", "sh", "-c", "kill -SEGV $$")
	if code != 128+11 || !strings.Contains(stderr, "# killed by SIGSEGV") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	stdout, _, code = script(t, []string{"BT=/nonexistent/bt"}, "entrypoint", "sh", "-c", "echo served; exit 9")
	if code != 9 || stdout != "served\n" {
		t.Errorf("without bt: exit %d, %q", code, stdout)
	}
}

func TestExampleCIStep(t *testing.T) {
	needPtrace(t)
	if stdout, stderr, code := script(t, nil, "ci-step", "60", "sh", "-c", "echo done; exit 4"); code != 4 || stdout != "done\n" || stderr != "" {
		t.Errorf("exit %d, %q, stderr %q", code, stdout, stderr)
	}
	_, stderr, code := script(t, nil, "ci-step", "60", "sh", "-c", "(kill -SEGV $(exec sh -c 'echo $PPID')); exit 3")
	if code != 3 || !strings.Contains(stderr, "# killed by SIGSEGV") {
		t.Errorf("a child crashes: exit %d, stderr %q", code, stderr)
	}
	_, stderr, code = script(t, nil, "ci-step", "1", "sh", "-c", "sleep 1000 & sleep 1000; exit 0")
	if code != 124 || !strings.Contains(stderr, "# killed by SIGABRT") || !strings.Contains(stderr, "nanosleep+0x") {
		t.Errorf("it hangs: exit %d, stderr %s", code, stderr)
	}
}
