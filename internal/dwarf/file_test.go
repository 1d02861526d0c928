package dwarf_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/dwarf"
	"github.com/gatedso/bt/internal/testenv"
)

// build compiles testdata/prog.cc.
func build(t testing.TB, cc string, args ...string) string {
	t.Helper()
	testenv.Need(t, cc, map[string]string{"clang++": "clang", "g++": "g++"}[cc])
	out := filepath.Join(t.TempDir(), "prog")
	cmd := exec.Command(cc, slices.Concat(args, []string{"-o", out, "testdata/prog.cc"})...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", cc, args, err, text)
	}
	return out
}

// sections returns the debug sections of a file.
func sections(im *elfsym.Image) dwarf.Sections {
	sec := func(name string) []byte {
		s, _ := im.Section(name)
		return s.Data
	}
	return dwarf.Sections{
		Info: sec(".debug_info"), Abbrev: sec(".debug_abbrev"), Line: sec(".debug_line"), Str: sec(".debug_str"),
		LineStr: sec(".debug_line_str"), StrOffsets: sec(".debug_str_offsets"), Addr: sec(".debug_addr"),
		Ranges: sec(".debug_ranges"), RngLists: sec(".debug_rnglists"), Aranges: sec(".debug_aranges"),
	}
}

func options(im *elfsym.Image) dwarf.Options {
	var o dwarf.Options
	for start, end := range im.CodeRanges() {
		o.Code = append(o.Code, dwarf.Span{Start: start, End: end})
	}
	return o
}

func open(t testing.TB, path string) (*elfsym.Image, *dwarf.Data) {
	t.Helper()
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im, dwarf.New(sections(im), options(im))
}

// everyByte lists the addresses of all code of an image.
func everyByte(im *elfsym.Image) (addrs []uint64) {
	for start, end := range im.CodeRanges() {
		for a := start; a < end; a++ {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
