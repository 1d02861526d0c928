//go:build linux

package procfs

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " 1 2 3 0 -1 2129984 0 0"
	for _, c := range []struct {
		in    string
		comm  string
		state byte
		ok    bool
	}{
		{"12 (cat) S" + rest, "cat", 'S', true},
		{"12 (a) b (c)) Z" + rest, "a) b (c)", 'Z', true},
		{"12 (new\nline) R" + rest, "new\nline", 'R', true},
		{"12 () R" + rest, "", 'R', true},
		{"12 (cat) S 1", "", 0, false},
		{"12 )cat( S" + rest, "", 0, false},
		{"", "", 0, false},
	} {
		st, ok := ParseStat([]byte(c.in))
		if ok != c.ok || ok && (st.Comm != c.comm || st.State != c.state || st.PPID != 1 || st.flags != 2129984) {
			t.Errorf("ParseStat(%q) = %+v, %v", c.in, st, ok)
		}
	}
}

// The time on a CPU is that of user and kernel, in ticks.
func TestCPUTime(t *testing.T) {
	for ticks, want := range map[string]time.Duration{
		"3 4":                       70 * time.Millisecond,
		"-1 4":                      40 * time.Millisecond,
		"99999999999999999999999 0": (1<<38 - 1) * 10 * time.Millisecond,
	} {
		st, ok := ParseStat([]byte("12 (cat) R 1 2 3 0 -1 64 5 6 7 8 " + ticks + " 0 0 20 0"))
		if !ok || st.CPU != want {
			t.Errorf("%s: %v, %v, want %v", ticks, st.CPU, ok, want)
		}
	}
}

// When a process started is known to a tick.
func TestStarted(t *testing.T) {
	dir, err := OpenPID("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	st, err := dir.Stat("stat")
	if err != nil {
		t.Fatal(err)
	}
	if at := st.Started(); at.After(time.Now()) || at.Before(time.Now().Add(-time.Hour)) {
		t.Errorf("this test started at %v", at)
	}
	for in, known := range map[string]bool{
		"1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0":                  true,
		"1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 -100 0":                 false,
		"1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9223372036854775807 0":  false,
		"1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 92233720368547758070 0": false,
		"1 (a) S 1 1 1 0 -1 0 0 0":                                             false,
	} {
		if st, ok := ParseStat([]byte(in)); !ok || st.Started().IsZero() == known {
			t.Errorf("%s: %v, started %v", in, ok, st.Started())
		}
	}
}

func TestStatus(t *testing.T) {
	st := ParseStatus([]byte("Name:\ta\\nUid:\t9\nTgid:\t12\nUid:\t1000\t1001\t1002\t1003\nNSpid:\t12\t3\t1\nSigCgt:\t0000000000000402\n"))
	if ids, ok := st.UIDs(); !ok || ids != [4]uint32{1000, 1001, 1002, 1003} {
		t.Errorf("users %v, %v", ids, ok)
	}
	if ids := st.NSpid(); !slices.Equal(ids, []int{12, 3, 1}) {
		t.Errorf("numbers %v", ids)
	}
	if st.Int("Tgid") != 12 || st.Int("PPid") != 0 {
		t.Errorf("Tgid %d, PPid %d", st.Int("Tgid"), st.Int("PPid"))
	}
	for signo, want := range map[int]bool{0: false, 1: false, 2: true, 11: true, 12: false, 64: false, 65: false} {
		if st.HasSignal("SigCgt", signo) != want || st.HasSignal("SigIgn", signo) {
			t.Errorf("signal %d: %v", signo, st.HasSignal("SigCgt", signo))
		}
	}
	for _, bad := range []string{"", "Uid:\t1\n", "Uid:\t1\t2\t3\tx\n", "Uid:\t1\t2\t3\t4294967296\n"} {
		if _, ok := ParseStatus([]byte(bad)).UIDs(); ok {
			t.Errorf("%q tells users", bad)
		}
	}
}

// A process's own directory tells what the process knows of itself.
func TestDir(t *testing.T) {
	dir, err := OpenPID("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if st, err := dir.Status("status"); err != nil || st.Int("Tgid") != os.Getpid() {
		t.Errorf("status %v, %v", st, err)
	}
	if args, err := dir.Cmdline(); err != nil || len(args) == 0 || args[0] != os.Args[0] {
		t.Errorf("command line %q, %v", args, err)
	}
	l, err := dir.OpenTasks(64) // less than they take, so that it reads again
	if err != nil {
		t.Fatal(err)
	}
	defer l.Dir.Close()
	tids, err := l.List()
	if err != nil || !slices.Contains(tids, os.Getpid()) {
		t.Errorf("threads %v, %v", tids, err)
	}
	for _, tid := range tids {
		if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(tid)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte("12 (cat) S 1 2 3 0 -1 2129984 0 0"))
	f.Add([]byte("Name:\tcat\nTgid:\t12\nUid:\t1\t2\t3\t4\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, ok := ParseStat(b); ok {
			st.Started()
		}
		st := ParseStatus(b)
		st.UIDs()
		st.Int("Tgid")
		for _, id := range st.NSpid() {
			if id <= 0 {
				t.Errorf("number %d", id)
			}
		}
	})
}
