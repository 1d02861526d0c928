package elfsym

import (
	"debug/elf"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// realFiles returns the paths of those of the usual large and odd files that
// are on this machine; the very large ones only with BT_FULL=1.
func realFiles(t testing.TB) []string {
	var out []string
	for _, pattern := range []string{
		"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/lib/x86_64-linux-gnu/libssl.so.3", "/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib/i386-linux-gnu/libc.so.6", "/lib32/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/lib/musl/lib/libc.so", "/lib/ld-musl-x86_64.so.1",
		"/usr/powerpc64-linux-gnu/lib/libc.so.6", // function descriptors
		"/usr/arm-linux-gnueabihf/lib/libc.so.6", // Thumb
		"/usr/lib/debug/.build-id/*/*.debug",
	} {
		paths, _ := filepath.Glob(pattern)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		out = append(out, paths[:min(3, len(paths))]...)
	}
	if debug := debugFileOf("/lib/x86_64-linux-gnu/libc.so.6"); debug != "" && !slices.Contains(out, debug) {
		out = append(out, debug)
	}
	for _, tool := range []string{"node", "go", "gdb"} {
		if p, err := exec.LookPath(tool); err == nil {
			out = append(out, p)
		}
	}
	if testenv.Full() {
		return out
	}
	return slices.DeleteFunc(out, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.Size() > 16<<20
	})
}

// debugFileOf returns the separate debug file of path, or "".
func debugFileOf(path string) string {
	im, err := OpenPath(path)
	if err != nil {
		return ""
	}
	defer im.Close()
	id := im.BuildID()
	if len(id) < 2 {
		return ""
	}
	const hex = "0123456789abcdef"
	var s []byte
	for _, b := range id {
		s = append(s, hex[b>>4], hex[b&15])
	}
	p := "/usr/lib/debug/.build-id/" + string(s[:2]) + "/" + string(s[2:]) + ".debug"
	if _, err := os.Stat(p); err != nil {
		return ""
	}
	return p
}

// TestReference compares, for real files, every way of looking up with the
// plain reference: at random places of the text, and at the starts and both
// sides of the ends of symbols.
func TestReference(t *testing.T) {
	for _, path := range realFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := elf.Open(path)
			if err != nil {
				t.Skip(err) // a script, such as node's wrapper
			}
			defer f.Close()
			compareWithReference(t, path, newReference(f))
		})
	}
}

func compareWithReference(t *testing.T, path string, ref *reference) {
	rng := rand.New(rand.NewPCG(1, 2))
	var addrs []uint64
	syms := 0
	for _, table := range ref.tables {
		syms += len(table)
	}
	n := min(3000, 40_000_000/(syms+1)) // the reference is linear
	for _, a := range ref.areas {
		addrs = append(addrs, a[0], a[1]-1, a[1])
		for range n / 2 / len(ref.areas) {
			addrs = append(addrs, a[0]+rng.Uint64N(a[1]-a[0]))
		}
	}
	for _, table := range ref.tables {
		for range n / 8 {
			s := table[rng.IntN(len(table))]
			addrs = append(addrs, s.value-1, s.value, s.value+s.size-1, s.value+s.size)
		}
	}
	slices.Sort(addrs)

	open := func() *Image {
		im, err := OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { im.Close() })
		return im
	}
	scanning, indexed := open(), open()
	matches := make([]Match, len(addrs))
	for i := 0; i < len(addrs); i += 200 {
		scanning.scanned.Store(0) // keep it from building the index
		end := min(i+200, len(addrs))
		scanning.LookupAll(addrs[i:end], matches[i:end])
	}
	refs, offs := make([][2]Ref, len(addrs)), make([][2]uint64, len(addrs))
	for i := 0; i < len(addrs); i += MaxBatch {
		batch := slices.Clone(addrs[i:min(i+MaxBatch, len(addrs))])
		slices.Reverse(batch) // any order will do
		var r [MaxBatch]Ref
		var o [MaxBatch]uint64
		for k, im := range []*Image{scanning, indexed} {
			if k == 0 {
				im.scanned.Store(0)
			} else {
				im.indexed()
			}
			im.FindAll(batch, r[:], o[:])
			for j := range batch {
				at := i + len(batch) - 1 - j
				refs[at][k], offs[at][k] = r[j], o[j]
			}
		}
	}
	if scanning.index.Load() != nil && syms > 1000 {
		t.Error("the scanning image has built an index")
	}
	bad, named := 0, 0
	for i, a := range addrs {
		want, wantOK := ref.lookup(a)
		if wantOK {
			named++
		}
		check := func(how, name string, value uint64, ok bool) {
			if ok != wantOK || ok && (name != want.name || value != want.value) {
				bad++
				if bad < 10 {
					t.Errorf("%s(%#x) = %q %#x %v, want %q %#x %v (size %#x)", how, a, name, value, ok, want.name, want.value, wantOK, want.size)
				}
			}
		}
		check("LookupAll", matches[i].Name, matches[i].Value, matches[i].OK)
		r, value, ok := indexed.lookupRef(a)
		name := ""
		if ok {
			name = string(indexed.NameBytes(r))
		}
		check("lookupRef", name, value, ok)
		for k, im := range []*Image{scanning, indexed} {
			s, ok := im.Symbol(refs[i][k])
			check("FindAll", s.Name, a-offs[i][k], ok)
		}
		if i%16 == 0 {
			s, ok := scanning.Lookup(a)
			check("Lookup", s.Name, s.Value, ok)
		}
	}
	t.Logf("%d symbols, %d addresses, %d named", syms, len(addrs), named)
}
