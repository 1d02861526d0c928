package text

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/stack"
)

// printed is how threads are printed, without their process's head.
func printed(o Options, threads ...stack.Thread) string {
	var out bytes.Buffer
	p := Printer{W: bufio.NewWriter(&out), Options: o}
	p.Threads(&stack.Process{WordSize: 4, Threads: threads})
	p.W.Flush()
	return out.String()
}

// recursion is a stack: head, then times the cycle, then tail.
func recursion(head []uint64, cycle []uint64, times int, tail ...uint64) (t stack.Thread) {
	add := func(pcs []uint64) {
		for _, pc := range pcs {
			t.Frames = append(t.Frames, stack.Frame{PC: pc})
		}
	}
	add(head)
	for range times {
		add(cycle)
	}
	add(tail)
	t.TID, t.End = 7, stack.End{Reason: stack.Outermost}
	return t
}

func TestFold(t *testing.T) {
	eight := []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	for _, tt := range []struct {
		name   string
		thread stack.Thread
		want   string
	}{
		{"one frame", recursion([]uint64{9}, []uint64{1}, 524_045, 5), "9 1 # … the frame above, 524,044 more times 5"},
		{"two frames", recursion([]uint64{9}, []uint64{1, 2}, 17, 5), "9 1 2 # … the 2 frames above, 16 more times 5"},
		{"a rest of the cycle", recursion(nil, []uint64{1, 2}, 20, 1, 5), "1 2 # … the 2 frames above, 19 more times 1 5"},
		{"eight frames", recursion(nil, eight, 1001), "1 2 3 4 5 6 7 8 # … the 8 frames above, 1,000 more times"},
		{"nine frames", recursion(nil, append(eight, 9), 2), "1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9"},
		{"16 times", recursion(nil, []uint64{1}, 16, 5), strings.Repeat("1 ", 16) + "5"},
		{"two runs", recursion(recursionPCs(1, 30), []uint64{2}, 30, 5), "1 # … the frame above, 29 more times 2 # … the frame above, 29 more times 5"},
		{"none", recursion(nil, []uint64{1, 2, 3}, 1), "1 2 3"},
	} {
		out := printed(Options{Fold: true}, tt.thread)
		_, out, _ = strings.Cut(out, "\n")
		out = strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(out, "\n", " ")), "0000000", "")
		if d := cmp.Diff(tt.want, out); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		if n := strings.Count(printed(Options{}, tt.thread), "\n"); n != len(tt.thread.Frames)+1 {
			t.Errorf("%s: %d lines without Fold", tt.name, n)
		}
	}
	// Frames of a language differ though their address does not.
	differ := recursion(nil, []uint64{1}, 40)
	for i := range differ.Frames {
		differ.Frames[i].Names = []stack.Name{{Symbol: "f", Line: i + 1, Language: "python"}, {Symbol: "eval"}}
	}
	if out := printed(Options{Fold: true}, differ); strings.Contains(out, "more times") {
		t.Errorf("other functions are folded:\n%s", out)
	}
}

func recursionPCs(pc uint64, times int) (pcs []uint64) {
	for range times {
		pcs = append(pcs, pc)
	}
	return pcs
}

func TestGroup(t *testing.T) {
	idle := func(tid int, name string) stack.Thread {
		th := recursion(nil, []uint64{1, 2}, 1)
		th.TID, th.Name = tid, name
		return th
	}
	busy := recursion(nil, []uint64{1, 3}, 1)
	waits := idle(12, "w")
	waits.Notes = []stack.Note{{Kind: "waits", Text: "waits in futex"}}
	cut := idle(13, "w")
	cut.End = stack.End{Reason: stack.NoMemory, Text: "no memory"}
	want := "# thread 8 \"w\"\n# and 3 more threads with this stack: 9 11 \"w\", 10 \"x\\x1b\"\n00000001\n00000002\n" +
		"# thread 7 \"\"\n00000001\n00000003\n" +
		"# thread 12 \"w\"\n# waits in futex\n00000001\n00000002\n" +
		"# thread 13 \"w\"\n00000001\n00000002\n# end: no memory\n"
	got := printed(Options{Group: true}, idle(8, "w"), busy, idle(9, "w"), idle(10, "x\x1b"), idle(11, "w"), waits, cut)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var many []stack.Thread
	for i := range 1001 {
		many = append(many, idle(100+i, "pool"))
	}
	got = printed(Options{Group: true}, many...)
	if !strings.Contains(got, "\n# and 1,000 more threads with this stack: 101 102 ") || !strings.Contains(got, " 116 \"pool\", …\n") {
		t.Errorf("%s", got)
	}
	if got := printed(Options{Group: true}, idle(8, "w"), idle(9, "w")); !strings.Contains(got, "\n# and 1 more thread with this stack: 9 \"w\"\n") {
		t.Errorf("%s", got)
	}
}
