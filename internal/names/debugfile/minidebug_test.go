//go:build linux

package debugfile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"hash/crc32"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

// withMini does what find-debuginfo does: the symbols of functions that .dynsym
// does not have are kept, in a file of their own that is compressed and put into
// the stripped one.
func withMini(t *testing.T, lib built) []byte {
	t.Helper()
	testenv.Need(t, "xz", "xz-utils")
	dir := t.TempDir()
	write(t, dir+"/lib.so", lib.whole)
	write(t, dir+"/stripped.so", lib.stripped)
	names := func(args ...string) map[string]bool {
		set := make(map[string]bool)
		for line := range strings.Lines(run(t, dir, args...)) {
			if f := strings.Fields(line); len(f) > 2 && strings.Contains("tT", f[1][:1]) {
				set[f[0]] = true
			}
		}
		return set
	}
	dynamic := names("nm", "-D", "--format=posix", "--defined-only", "lib.so")
	var keep bytes.Buffer
	for name := range names("nm", "--format=posix", "--defined-only", "lib.so") {
		if !dynamic[name] {
			keep.WriteString(name + "\n")
		}
	}
	if !strings.Contains(keep.String(), "hidden") || strings.Contains(keep.String(), "shown") {
		t.Fatalf("keeps %q", keep.String())
	}
	write(t, dir+"/keep", keep.Bytes())
	run(t, dir, "objcopy", "--only-keep-debug", "lib.so", "lib.debug")
	run(t, dir, "objcopy", "-S", "--remove-section=.gdb_index", "--remove-section=.comment",
		"--keep-symbols=keep", "lib.debug", "mini")
	run(t, dir, "xz", "mini")
	run(t, dir, "objcopy", "--add-section", ".gnu_debugdata=mini.xz", "stripped.so", "with.so")
	return read(t, dir+"/with.so")
}

func TestMiniDebug(t *testing.T) {
	lib := build(t, "3")
	im := image(t, withMini(t, lib), "lib.so")
	mini, err := MiniDebug(im)
	if err != nil || mini == nil {
		t.Fatal(mini, err)
	}
	addr := address(t, lib.whole, "hidden")
	if s, ok := im.Lookup(addr); ok {
		t.Errorf("%v without MiniDebugInfo", s)
	}
	if s, ok := mini.Lookup(addr + 1); !ok || s.Name != "hidden" || s.Value != addr {
		t.Errorf("MiniDebugInfo names %v", s)
	}
	if !strings.Contains(mini.Name, "lib.so") {
		t.Errorf("name %q", mini.Name)
	}
	if mini, err := MiniDebug(image(t, lib.stripped, "lib.so")); mini != nil || err != nil {
		t.Errorf("without the section: %v, %v", mini, err)
	}
}

// compress runs xz.
func compress(t testing.TB, data []byte, args ...string) []byte {
	t.Helper()
	testenv.Need(t, "xz", "xz-utils")
	cmd := exec.Command("xz", append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// holding returns an ELF file with the given .gnu_debugdata.
func holding(data []byte) []byte {
	return testelf.File{Sections: []testelf.Section{{Name: ".gnu_debugdata", Data: data}}}.Bytes()
}

// small is an ELF file with a symbol.
func small() []byte {
	return testelf.File{
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x1000, Data: make([]byte, 0x40)}},
		Symbols:  []testelf.Symbol{{Name: "f", Value: 0x1000, Size: 0x40, Type: elf.STT_FUNC, Section: ".text"}},
	}.Bytes()
}

func TestMiniDebugMalformed(t *testing.T) {
	good := compress(t, small())
	bomb := compress(t, make([]byte, 80<<20))
	// Many streams one behind the other: each is small, all together are not.
	chain := bytes.Repeat(compress(t, make([]byte, 1<<20)), 100)
	// The dictionary size is a byte of the block header, whose CRC is valid again.
	dict := bytes.Clone(good)
	for i := 12; i < 24; i++ {
		if dict[i] == 0x21 && dict[i+1] == 1 { // filter LZMA2 with 1 byte of properties
			dict[i+2] = 40 // 4 GiB - 1
			size := 4 * (int(dict[12]) + 1)
			binary.LittleEndian.PutUint32(dict[12+size-4:], crc32.ChecksumIEEE(dict[12:12+size-4]))
			break
		}
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 0x10
	for _, test := range []struct {
		name string
		data []byte
		err  string
	}{
		{"good", good, ""},
		{"two streams", append(compress(t, small()[:99]), compress(t, small()[99:])...), ""},
		{"x86 filter", compress(t, small(), "--x86", "--lzma2"), ""},
		{"xz -9", compress(t, small(), "-9"), ""},
		{"bomb", bomb, "too much"},
		{"chain of bombs", chain, "too much"},
		{"many streams", bytes.Repeat(compress(t, nil), 100_000), "too many streams"},
		{"huge dictionary", dict, "dictionary"},
		{"flipped bit", flipped, "xz"},
		{"truncated", good[:len(good)-20], "truncated"},
		{"not xz", []byte("this is no xz stream at all"), "xz"},
		{"no ELF file", compress(t, []byte("this is no ELF file, but long")), "not an ELF file"},
	} {
		mini, err := MiniDebug(image(t, holding(test.data), "hostile.so"))
		switch {
		case test.err == "" && (err != nil || mini.NumSymbols() == 0):
			t.Errorf("%s: %v, %v", test.name, mini, err)
		case test.err != "" && (mini != nil || err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "hostile.so")):
			t.Errorf("%s: %v, %v; want an error with %q", test.name, mini, err, test.err)
		}
	}
}

func FuzzMiniDebug(f *testing.F) {
	f.Add(compress(f, small()))
	f.Add(compress(f, small(), "--x86", "--lzma2"))
	f.Add(compress(f, small(), "--delta=dist=4", "--lzma2", "--check=sha256"))
	f.Add(compress(f, make([]byte, 1<<20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := unxz(data)
		if limit := max(minMini, maxMiniRatio*len(data)); err == nil && (len(out) > limit || cap(out) > 4*limit) {
			t.Errorf("%d bytes became %d (capacity %d)", len(data), len(out), cap(out))
		}
		im := image(t, holding(data), "fuzz")
		if mini, err := MiniDebug(im); err == nil && mini != nil {
			mini.Lookup(0x1000)
		}
	})
}
