package hotspot

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/stack"
)

// fuzzLayout has small offsets, so that what a fuzzer makes of a few hundred bytes leads
// everywhere.
func fuzzLayout(major int) *layout {
	return &layout{
		major: major, heaps: 0, arrayLen: 0, arrayData: 8, heapMemory: 0, heapSegmap: 16, heapShift: 32,
		spaceLow: 0, spaceHigh: 8, blockUsed: 4, blockSize: 8, codeOffset: 0, dataOffset: 4, blobName: 8,
		frameSize: 16, frameComplete: 20, frameCompleteSize: 2, nmethodMethod: 24, scopesPcs: 32, scopesData: 36,
		pcsEnd: 40, metadata: 44, immutable: 48, immutableKinds: major >= 23, pcdescSize: 16, constMethod: 0,
		constMethodSize: 16, codeSize: 8, constants: 0, nameIndex: 10, constFlags: 12, hasLines: 1, poolSize: 16,
		poolHolder: 8, sourceFile: 4, klassName: 8, symbolLength: 0, symbolBody: 2, threads: 8, threadsLength: 0,
		threadsData: 8, osThread: 8, osThreadID: 4, bcpSlot: -8, stride: major / 20,
	}
}

// FuzzMemory reads whatever there is from a memory of nonsense, which repeats every few
// hundred bytes up to 64 KiB.
func FuzzMemory(f *testing.F) {
	seed := make([]byte, 256)
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], uint64(i*8))
	}
	f.Add(seed, uint64(64), 17)
	f.Add(seed, uint64(64), 25)
	f.Add([]byte{0xff, 0, 1, 0xff, 0xff, 2, 192, 193, 255, 255, 255, 255}, uint64(3), 21)
	f.Fuzz(func(t *testing.T, data []byte, at uint64, major int) {
		if len(data) == 0 || major < 9 || major > 30 {
			return
		}
		m := process.NewRecorder(process.FetchBy(func(addr uint64, b []byte) int {
			n := 0
			for ; n < len(b) && addr+uint64(n) < 1<<16; n++ {
				b[n] = data[(addr+uint64(n))%uint64(len(data))]
			}
			return n
		}))
		l := fuzzLayout(major)
		heaps := l.readHeaps(m)
		l.readThreads(m)
		b, _ := l.blobAt(m, heaps, at)
		l.scopes(m, &b, at, false)
		l.scopes(m, &b, at, true)
		if code, ok := l.interpreterFrame(m, at); ok {
			n, _ := l.name(m, code)
			if n.Line < 0 {
				t.Errorf("line %d", n.Line)
			}
		}
		readStructs(m, func(name string) (uint64, bool) { return uint64(len(name)), true })
		(&reader{l: l}).names(m, &blob{kind: compiled, method: at, addr: at}, at, false)
		(&reader{l: l, threads: l.readThreads(m)}).about(new(stack.Thread), &javaThread{pending: at, owner: at})
	})
}
