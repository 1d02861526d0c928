//go:build linux

package waits

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// fuzzReader is that of a core with a few threads and no files.
func fuzzReader(t testing.TB) *reader {
	m, err := maps.Parse([]byte("00010000-00030000 rw-p 00000000 00:00 0 \n"))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{run: NewRun("/nonexistent"), core: true, tids: []int{1, 2, 3}, alive: map[int]bool{1: true, 2: true, 3: true}, comm: map[int]string{1: "a\x1b"}}
	r.wants.Waits = true
	r.space = image.NewSpace(m, &image.Files{Maps: m}, new(image.Cache))
	t.Cleanup(r.space.Close)
	r.names.space = r.space
	return r
}

// FuzzDecode decodes any system call over memory that holds anything: what is told is
// one line without control characters, and bounded.
func FuzzDecode(f *testing.F) {
	f.Add(uint16(202), uint64(0x10040), uint64(128), uint64(2), uint64(0), []byte("\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00"), uint8(1), uint8(0))
	f.Add(uint16(7), uint64(0x10000), uint64(3), uint64(1000), uint64(0), []byte("\x03\x00\x00\x00\x01\x00\x00\x00"), uint8(0), uint8(0))
	f.Add(uint16(257), uint64(0xffffff9c), uint64(0x10000), uint64(0), uint64(0), []byte("/etc/\x1b[2J\n"), uint8(0), uint8(0))
	f.Add(uint16(270), uint64(70), uint64(0x10000), uint64(0x10008), uint64(0x10010), []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), uint8(0), uint8(1))
	f.Add(uint16(42), uint64(3), uint64(0x10000), uint64(16), uint64(0), []byte("\x02\x00\x00\x50\x7f\x00\x00\x01"), uint8(0), uint8(2))
	r := fuzzReader(f)
	arches := all.Native()
	f.Fuzz(func(t *testing.T, nr uint16, a0, a1, a2, a3 uint64, data []byte, obj, cpu uint8) {
		a := arches[int(cpu)%len(arches)]
		m := process.NewRecorder(process.FetchBy(func(addr uint64, b []byte) int {
			if addr < 0x10000 || addr-0x10000 >= uint64(len(data)) {
				return 0
			}
			return copy(b, data[addr-0x10000:])
		}))
		c := arch.Call{Nr: int(nr), Args: [6]uint64{a0, a1, a2, a3, a0, a1}}
		m.Prefetch(appendMemory(nil, a, &c))
		m.Freeze()
		u := &process.Unwound{Thread: process.Thread{TID: 1, Arch: a, Call: c, HasCall: true}}
		d := decoder{reader: r, t: u, m: m, call: c, name: a.Syscalls.Name(int(nr))}
		w, ok := d.decode()
		check(t, w.Text, ok)
		if kinds()[d.name].class != futexCall {
			return
		}
		for _, lib := range []library{glibc, musl} {
			o := found{decoder: &d, within: within{object: object(obj) % (unownedCondition + 1), library: lib, version: 200 + int(cpu)%50},
				word: a0, value: uint32(a2), op: uint32(a1) &^ futexCommand}
			if o.look() {
				check(t, o.text, true)
				for _, h := range o.wait.Holders {
					if !r.alive[h.TID] {
						t.Errorf("%q: held by one that does not live", o.text)
					}
				}
			}
		}
	})
}

func check(t *testing.T, text string, ok bool) {
	if ok && (text == "" || len(text) > 8192 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })) {
		t.Errorf("%q", text)
	}
}

// FuzzTexts reads what procfs tells, of which paths and names are the target's.
func FuzzTexts(f *testing.F) {
	f.Add("0: 00000002 00000000 00000000 0001 01 4711 /" + strings.Repeat("\xe9", 5000) + "\n")
	f.Add("1: -> FLOCK  ADVISORY  WRITE 1240 08:01:12345 0 EOF\n")
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n")
	f.Add("0000000000000000: 00000002 00000000 00010000 0001 01 20 /run/a\x1b\n")
	f.Add("202 0x1 0x80 0x2 0x0 0x0 0x5 0x7ffd00 0x7f8a78\n")
	f.Add("[<0>] f+0x46/0x90 [m]\ntfd:  12 events: 19\nGNU C Library (x) version 2.36.")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range parseLocks(text) {
			blockers([]fileLock{l, l}, l.pid, l.kind, l.file, &lockRange{l.write, l.from, l.to})
		}
		n := newSockets()
		n.addInet("TCP", text)
		n.addUnix(text)
		n.addLast("netlink", text)
		for _, v := range n.about {
			check(t, v, true)
		}
		parseUnixPeer([]byte(text), 20)
		parseSyscall(text)
		if n := len(parseKernelStack(text)); n > maxKernelFrames {
			t.Errorf("%d frames", n)
		}
		watchedFDs([]byte(text))
		releaseIn([]byte(text))
		if len(text) > 2 {
			check(t, "x"+sockaddr([]byte(text)), true)
		}
	})
}

// FuzzDeadlocks has threads wait for each other in any way: each deadlock is a circle.
func FuzzDeadlocks(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 1})
	f.Add([]byte{0x41, 1, 0x82, 2, 3, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		n := &processNode{pid: 1, names: map[int]string{}, waits: map[int]*threadWaits{}}
		for i := 0; i+2 <= len(data) && i < 512; i += 2 {
			tid := 1 + i/2
			n.tids = append(n.tids, tid)
			v := binary.LittleEndian.Uint16(data[i:])
			w := wait{Wait: stack.Wait{Kind: "mutex"}, all: v&0x8000 == 0, timed: v&0x4000 != 0}
			if v&0x2000 != 0 {
				w.Holders = []stack.Party{{PID: int(v & 3)}}
			} else {
				w.Holders = []stack.Party{{TID: int(v & 0xff)}, {TID: int(v>>8&0xf) + 1}}
			}
			n.waits[tid] = &threadWaits{tid: tid, wait: w}
		}
		var g graph
		for _, d := range g.add(n) {
			for i, e := range d.Edges {
				if e.Holder != d.Edges[(i+1)%len(d.Edges)].Waiter {
					t.Fatalf("%s: no circle", d.Text)
				}
			}
		}
	})
}
