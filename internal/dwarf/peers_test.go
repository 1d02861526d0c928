package dwarf_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/dwarf"
	"github.com/gatedso/bt/internal/testenv"
)

// llvm asks llvm-symbolizer for the frames of addresses, without demangling.
func llvm(t *testing.T, path string, addrs []uint64) [][]dwarf.Frame {
	t.Helper()
	var in bytes.Buffer
	for _, a := range addrs {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	cmd := exec.Command(testenv.Need(t, "llvm-symbolizer", "llvm"), "-e", path, "--inlines", "--functions=linkage", "--no-demangle")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]dwarf.Frame
	for _, block := range strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
		var frames []dwarf.Frame
		lines := strings.Split(strings.Trim(block, "\n"), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			place := strings.Split(lines[i+1], ":")
			n := len(place)
			line, _ := strconv.ParseUint(place[n-2], 10, 32)
			column, _ := strconv.ParseUint(place[n-1], 10, 32)
			file := strings.Join(place[:n-2], ":")
			if file == "??" {
				file = ""
			}
			frames = append(frames, dwarf.Frame{Func: lines[i], File: file, Line: uint32(line), Column: uint32(column), Inlined: i+3 < len(lines)})
		}
		all = append(all, frames)
	}
	if len(all) != len(addrs) {
		t.Fatalf("%d answers to %d addresses", len(all), len(addrs))
	}
	return all
}

// differ says how the frames of an address differ from llvm-symbolizer's; "" if
// they do not. It names the outermost frame, and some others, by what is better
// known elsewhere:
//   - the outermost function by the symbol table, as bt does itself;
//   - a function without a linkage name by its bare name, not by its scopes.
//
// Where DWARF has no file it takes the name that the symbol table has.
func differ(got, want []dwarf.Frame) string {
	if len(got) == 0 {
		if len(want) == 1 && (want[0].File == "" || !strings.Contains(want[0].File, "/")) {
			return ""
		}
		return "nothing found"
	}
	if len(got) != len(want) {
		return "number of frames"
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.File == "" && !strings.Contains(w.File, "/") {
			w.File = ""
		}
		if g.File != w.File || g.Line != w.Line || g.Column != w.Column {
			return "place"
		}
		if i < len(got)-1 && g.Func != w.Func && !strings.HasSuffix(g.Func, "::"+w.Func) {
			return "name"
		}
		if g.Inlined != w.Inlined {
			return "inlined"
		}
	}
	return ""
}

// TestLLVM compares every byte of programs, as compilers' options make them, with
// llvm-symbolizer.
func TestLLVM(t *testing.T) {
	variants := [][]string{
		{"g++", "-g", "-O2"},
		{"g++", "-g", "-O0"},
		{"g++", "-g", "-O3", "-flto"},
		{"g++", "-g1", "-O2"},
		{"g++", "-g", "-O2", "-gdwarf-2", "-gstrict-dwarf"},
		{"g++", "-g", "-O2", "-gdwarf-3", "-gstrict-dwarf"},
		{"g++", "-g", "-O2", "-gdwarf-4"},
		{"g++", "-g", "-O2", "-gdwarf64"},
		{"g++", "-g", "-O2", "-ffunction-sections", "-Wl,--gc-sections"},
		{"g++", "-g", "-O2", "-gz=zlib"},
		{"clang++", "-g", "-O2"},
		{"clang++", "-g", "-O2", "-gdwarf-4"},
		{"clang++", "-g", "-O2", "-gdwarf-2"},
		{"clang++", "-gline-tables-only", "-O2"},
	}
	if testing.Short() {
		variants = [][]string{variants[0], variants[4], variants[10]}
	}
	for _, v := range variants {
		t.Run(strings.Join(v, ""), func(t *testing.T) {
			t.Parallel()
			path := build(t, v[0], v[1:]...)
			im, d := open(t, path)
			addrs := everyByte(im)
			want := llvm(t, path, addrs)
			a := d.Lookup(addrs)
			known, bad := 0, 0
			for i, addr := range addrs {
				got := a.Frames(nil, i)
				if len(got) > 0 {
					known++
				}
				if how := differ(got, want[i]); how != "" {
					if bad++; bad <= 5 {
						t.Errorf("%x: %s\ngot  %v\nwant %v", addr, how, got, want[i])
					}
				}
			}
			if known < 1000 {
				t.Errorf("only %d addresses have a line", known)
			}
			if bad > 0 {
				t.Errorf("%d of %d addresses differ", bad, len(addrs))
			}
		})
	}
}

// TestOneByOne looks up addresses alone, which takes other ways to the unit than
// many together.
func TestOneByOne(t *testing.T) {
	path := build(t, "g++", "-g", "-O2")
	im, d := open(t, path)
	addrs := everyByte(im)
	all := d.Lookup(addrs)
	_, fresh := open(t, path)
	for i := 0; i < len(addrs); i += 37 {
		want := all.Frames(nil, i)
		for _, d := range []*dwarf.Data{d, fresh} {
			if got := d.Lookup(addrs[i:i+1]).Frames(nil, 0); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%x: alone %v, together %v", addrs[i], got, want)
			}
		}
	}
}
