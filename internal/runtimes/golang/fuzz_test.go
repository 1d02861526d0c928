//go:build linux

package golang

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// fuzzProgram reads a Go whose structures are so small that what a fuzzer makes of a
// few hundred bytes leads everywhere.
func fuzzProgram(minor int, a *arch.Arch) *program {
	w := a.PtrSize
	at := func(i int) int { return i * w }
	p := &program{module: &image.Module{Path: "fuzz"}, arch: a, version: "go1.x", reasons: waitReasons[minor], allgs: 0}
	p.lay = &layout{
		minor: minor, word: w, wrapperID: 23, gM: at(2), gSchedSP: at(3), gSchedPC: at(4), gSchedG: at(5), gSchedBP: at(6),
		gSyscallSP: at(7), gSyscallPC: at(8), gSyscallBP: at(9), gStatus: at(10), gID: at(11), gWaitSince: at(13),
		gWaitReason: at(10) + 4, gLockedM: at(2), gCreator: at(11), gGoPC: at(4), gStartPC: at(4), gWaiting: at(5),
		gLabels: at(1), gTimer: at(6), gSleepWhen: -1, gBubble: at(7), mG0: 0, mProcID: at(1), mCurG: at(5),
		sudogG: at(5), sudogElem: at(1), sudogLink: at(2), sudogChan: at(3), chanCount: 0, chanSize: at(1), chanClosed: at(2),
		pollFD: at(1), pollReader: at(2), pollWriter: at(5), timerWhen: at(1), bubbleID: at(1),
	}
	if minor >= 23 {
		p.lay.gSleepWhen = at(13)
	}
	none, _ := maps.Parse(nil)
	p.names.init(image.NewSpace(none, nil, nil))
	return p
}

// FuzzMemory reads goroutines from a memory of nonsense, which repeats every few hundred
// bytes up to 64 KiB.
func FuzzMemory(f *testing.F) {
	// A slice of 8 pointers to a g that waits, is its own sched.g, and is in a queue.
	seed := make([]byte, 512)
	for i, v := range []uint64{512 + 64, 8, 8, 0, 0, 0, 0, 0, 512 + 128, 512 + 128, 512 + 128, 512 + 128, 512 + 128, 512 + 128, 512 + 128, 512 + 128} {
		binary.LittleEndian.PutUint64(seed[i*8:], v)
	}
	for i, v := range []uint64{512, 1024, 512 + 128, 512 + 200, 4096, 512 + 128, 512, 0, 0, 0, 4 | 2<<32, 1, 0, 0} {
		binary.LittleEndian.PutUint64(seed[128+i*8:], v)
	}
	for _, minor := range []int{18, 24, 26} {
		f.Add(seed, minor, false)
		f.Add(seed, minor, true)
	}
	f.Add([]byte{0xff, 0, 1, 0xff, 0xff, 2, 192, 193, 255, 255, 255, 255}, 26, false)
	f.Fuzz(func(t *testing.T, data []byte, minor int, small bool) {
		if len(data) == 0 || minor < 0 || minor >= len(waitReasons) || waitReasons[minor] == nil {
			return
		}
		a := amd64.Arch
		if small {
			a = i386.Arch
		}
		m := process.NewRecorder(process.FetchBy(func(addr uint64, b []byte) int {
			n := 0
			for ; n < len(b) && addr+uint64(n) < 1<<16; n++ {
				b[n] = data[(addr+uint64(n))%uint64(len(data))]
			}
			return n
		}))
		p := fuzzProgram(minor, a)
		p.isAllgs(m, 0)
		p.copy(m, 16, true)
		p.taken.gs = p.taken.gs[:min(len(p.taken.gs), 64)] // the others are no different
		m.Freeze()
		thread := process.Unwound{Thread: process.Thread{TID: 1, Arch: a, HasRegs: true}}
		thread.Regs.Set(a.SP, 512)
		out := &stack.Process{Threads: make([]stack.Thread, 1)}
		p.join(out, []process.Unwound{thread}, 1<<40)
		r := &reader{target: &runtimes.Target{Space: p.names.space, Wants: runtimes.Wants{MaxFrames: 16}}, now: 1 << 40}
		if err := p.goroutines(out, m, r); err != nil {
			plain(t, err.Error())
		}
		for i := range out.Goroutines {
			g := &out.Goroutines[i]
			plain(t, g.State)
			if g.Waits != nil {
				plain(t, g.Waits.Text)
			}
			if g.Minutes < 0 || len(g.Frames) > 16 || len(g.Labels) > maxLabels {
				t.Errorf("%+v", g)
			}
		}
	})
}

// plain fails where a text can do something to a terminal.
func plain(t *testing.T, s string) {
	t.Helper()
	if strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("%q", s)
	}
}
