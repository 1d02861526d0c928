package elfsym

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// benchFiles are the files that the figures of this package are stated for.
func benchFiles(b *testing.B) map[string]string {
	out := map[string]string{}
	home, _ := os.UserHomeDir()
	for name, pattern := range map[string]string{
		"libLLVM": "/usr/lib/x86_64-linux-gnu/libLLVM-1?.so.1",
		"rustc":   home + "/.rustup/toolchains/*/lib/librustc_driver-*.so",
		"libc":    "/lib/x86_64-linux-gnu/libc.so.6",
	} {
		if paths, _ := filepath.Glob(pattern); paths != nil {
			out[name] = paths[0]
		}
	}
	if p, err := exec.LookPath("node"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			out["node"] = p
		}
	}
	if len(out) == 0 {
		b.Skip("none of the large files is here")
	}
	return out
}

func each(b *testing.B, fn func(b *testing.B, path string)) {
	files := benchFiles(b)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.Run(name, func(b *testing.B) { fn(b, files[name]) })
	}
}

func open1(b *testing.B, path string) *Image {
	im, err := OpenPath(path)
	if err != nil {
		b.Fatal(err)
	}
	return im
}

// randomAddrs are addresses all over the executable sections.
func randomAddrs(im *Image, n int) []uint64 {
	rng := rand.New(rand.NewPCG(3, 4))
	out := make([]uint64, n)
	for i := range out {
		c := rng.Uint32N(im.areas.total)
		out[i] = im.areas.at(c).addr(c)
	}
	return out
}

// BenchmarkOpen opens a file and closes it.
func BenchmarkOpen(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		for b.Loop() {
			open1(b, path).Close()
		}
	})
}

// BenchmarkCold opens a file and names one address.
func BenchmarkCold(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		addrs := randomAddrs(im, 64)
		im.Close()
		i := 0
		for b.Loop() {
			im := open1(b, path)
			im.Lookup(addrs[i%len(addrs)])
			im.Close()
			i++
		}
	})
}

// BenchmarkBatch names 30 addresses of a file that is open: one scan.
func BenchmarkBatch(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		addrs := randomAddrs(im, 30)
		slices.Sort(addrs)
		out := make([]Match, len(addrs))
		for b.Loop() {
			im.scanned.Store(0)
			im.LookupAll(addrs, out)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(im.numSyms), "ns/symbol")
	})
}

// BenchmarkIndex builds the index.
func BenchmarkIndex(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		b.ReportAllocs()
		var ix *index
		for b.Loop() {
			ix = im.buildIndex()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(im.numSyms), "ns/symbol")
		b.ReportMetric(float64(8*cap(ix.stretches)+8*cap(ix.parts)+4*cap(ix.bucket))/float64(im.numSyms), "B/symbol")
	})
}

// BenchmarkLookupRef names random addresses from the index.
func BenchmarkLookupRef(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		addrs := randomAddrs(im, 1<<20)
		im.lookupRef(0)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			im.lookupRef(addrs[i&(1<<20-1)])
			i++
		}
	})
}

// BenchmarkFindAll names them in batches; ns/op is of one address.
func BenchmarkFindAll(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		addrs := randomAddrs(im, 1<<20)
		im.lookupRef(0)
		var refs [MaxBatch]Ref
		var offs [MaxBatch]uint64
		b.ReportAllocs()
		for i := 0; i < b.N; i += MaxBatch {
			at := i & (1<<20 - 1)
			im.FindAll(addrs[at:at+MaxBatch], refs[:], offs[:])
		}
	})
}

// BenchmarkNameBytes adds reading the name.
func BenchmarkNameBytes(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		addrs := randomAddrs(im, 1<<20)
		i := 0
		for b.Loop() {
			if ref, _, ok := im.lookupRef(addrs[i&(1<<20-1)]); ok {
				im.NameBytes(ref)
			}
			i++
		}
	})
}

func BenchmarkProtect(b *testing.B) {
	for b.Loop() {
		Protect(func() error { return nil })
	}
}
