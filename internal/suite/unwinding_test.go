package suite

import (
	"testing"
)

// inMain are the frames of the C library below main, in the words of wantChain.
const inMain = "main libc _start"

// A row that is wrong leads to no caller: the code itself is followed then.
func TestWrongRow(t *testing.T) {
	prog := build(t, "gcc", "wrongrow.c", "-O1")
	for _, local := range []string{"zero", "code", "data"} {
		t.Run(local, func(t *testing.T) {
			p := startCmd(t, command(prog, local))
			for range 50 {
				th := snapshot(t, p.pid).threads[0]
				if th.frames[1].name == "run" {
					th.wantChain(t, "dispatch run "+inMain) // between two calls
					continue
				}
				th.wantChain(t, "dispatch dispatch run "+inMain)
			}
		})
	}
}

// A stack that goes on in another place is followed there, whichever way that
// lies. (How many frames have __morestack between them is libgcc's matter.)
func TestSplitStack(t *testing.T) {
	prog := build(t, "gcc", "splitstack.c", "-O1", "-fsplit-stack")
	p := start(t, prog)
	for _, th := range snapshot(t, p.pid, "--max-frames", "0").threads {
		var rest []frame
		switches := 0
		for _, f := range th.frames {
			if f.name == "__morestack" {
				switches++
				continue
			}
			rest = append(rest, f)
		}
		if switches == 0 {
			t.Errorf("thread %d: the stack was not split:\n%s", th.tid, th)
		}
		th.frames = rest
		if th.tid == p.pid {
			th.wantChain(t, "libc descend*21 "+inMain)
		} else {
			th.wantChain(t, "libc descend*41 worker libc")
		}
	}
}
