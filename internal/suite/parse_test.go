//go:build linux

package suite

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// process, thread and frame are bt's text output, as its manual fixes it.
type process struct {
	pid     int
	path    string
	threads []thread
	notes   []string // what bt says of language runtimes that it cannot read
}

type thread struct {
	tid        int
	name       string
	frames     []frame
	end        string // why the stack ends early
	notStopped string
}

type frame struct {
	addr   uint64
	digits int
	name   string
	offset uint64
	extra  string // what follows the name
	signal bool   // a "# signal" line stands before the frame
	signo  string // the name in that line
}

var (
	processLine = regexp.MustCompile(`^# process (\d+) (\S.*)$`)
	threadLine  = regexp.MustCompile(`^# thread (\d+) "(.*)"$`)
	signalLine  = regexp.MustCompile(`^# signal(?: (SIG[A-Z]+[0-9]*(?:[+-][0-9]+)?))?$`)
	endLine     = regexp.MustCompile(`^# end: (\S.*)$`)
	stopLine    = regexp.MustCompile(`^# not stopped: (\S.*)$`)
	sourceLine  = regexp.MustCompile(`^# (?:/\S*:\d+|(?:> |  ) *\d+ \|.*)$`)
	aboutLine   = regexp.MustCompile(`^# (?:(?:python|java|js|go) thread\b|runs goroutine \d+$|waits (?:in|for) \S)`)
	taskLine    = regexp.MustCompile(`^# (?:goroutines?|tasks?) .*\[.*\]`)
	noteLine    = regexp.MustCompile(`^# (?:python|java|js|go): \S`)
	callLine    = regexp.MustCompile(`^(?:[0-9a-f]{16}|[0-9a-f]{8}) <.+>(?: \S.*)? \((?:python|java|js)\)$`)
	frameLine   = regexp.MustCompile(`^([0-9a-f]{16}|[0-9a-f]{8})(?: <(.+)\+0x([0-9a-f]+)>)?(?: (\S.*))?$`)
)

// parse reads what bt --pid prints and lets nothing pass that is not in its
// manual.
func parse(t testing.TB, out string) []process {
	t.Helper()
	if out == "" {
		return nil
	}
	text, ok := strings.CutSuffix(out, "\n")
	if !ok {
		t.Fatalf("the last line does not end: %q", out[max(0, len(out)-80):])
	}
	var ps []process
	var p *process
	var th *thread
	var sig []string
	for i, line := range strings.Split(text, "\n") {
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatalf("line %d has control characters: %q", i+1, line)
		}
		if m := processLine.FindStringSubmatch(line); m != nil {
			pid, _ := strconv.Atoi(m[1])
			ps = append(ps, process{pid: pid, path: m[2]})
			p, th = &ps[len(ps)-1], nil
		} else if m := threadLine.FindStringSubmatch(line); m != nil && p != nil {
			tid, _ := strconv.Atoi(m[1])
			p.threads = append(p.threads, thread{tid: tid, name: m[2]})
			th = &p.threads[len(p.threads)-1]
		} else if noteLine.MatchString(line) && th != nil {
			p.notes = append(p.notes, line)
		} else if taskLine.MatchString(line) && th != nil {
			th = new(thread) // no thread's: what it says is looked at by who asks for it
		} else if th == nil {
			t.Fatalf("line %d before any thread: %q", i+1, line)
		} else if th.end != "" {
			t.Fatalf("line %d behind a stack's end: %q", i+1, line)
		} else if callLine.MatchString(line) || aboutLine.MatchString(line) && len(th.frames) == 0 {
			continue
		} else if m := frameLine.FindStringSubmatch(line); m != nil {
			f := frame{digits: len(m[1]), name: m[2], extra: m[4]}
			f.addr, _ = strconv.ParseUint(m[1], 16, 64)
			if m[2] != "" {
				f.offset, _ = strconv.ParseUint(m[3], 16, 64)
			}
			if sig != nil {
				f.signal, f.signo, sig = true, sig[1], nil
			}
			th.frames = append(th.frames, f)
			continue
		} else if m := signalLine.FindStringSubmatch(line); m != nil && sig == nil {
			sig = m
			continue
		} else if m := endLine.FindStringSubmatch(line); m != nil {
			th.end = m[1]
		} else if m := stopLine.FindStringSubmatch(line); m != nil && th.notStopped == "" {
			th.notStopped = m[1]
		} else if sourceLine.MatchString(line) && len(th.frames) > 0 {
			continue
		} else {
			t.Fatalf("line %d is none that the manual knows: %q", i+1, line)
		}
		if sig != nil {
			t.Fatalf("line %d: a signal line before something that is no frame: %q", i+1, line)
		}
	}
	if sig != nil {
		t.Fatal("a signal line at the end")
	}
	return ps
}

// thread finds a thread by its TID.
func (p process) thread(t testing.TB, tid int) thread {
	t.Helper()
	for _, th := range p.threads {
		if th.tid == tid {
			return th
		}
	}
	t.Fatalf("process %d: no thread %d among %d", p.pid, tid, len(p.threads))
	return thread{}
}

// main is the thread whose TID is the PID.
func (p process) main(t testing.TB) thread { t.Helper(); return p.thread(t, p.pid) }

func (th thread) addrs() []uint64 {
	var a []uint64
	for _, f := range th.frames {
		a = append(a, f.addr)
	}
	return a
}

func (th thread) String() string {
	var b strings.Builder
	for _, f := range th.frames {
		if f.signal {
			b.WriteString("# signal " + f.signo + "\n")
		}
		b.WriteString(strconv.FormatUint(f.addr, 16) + " " + f.name + "+" + strconv.FormatUint(f.offset, 16) + " " + f.extra + "\n")
	}
	if th.end != "" {
		b.WriteString("# end: " + th.end + "\n")
	}
	return head(b.String())
}
