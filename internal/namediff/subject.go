package namediff

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

const debugDir = "/usr/lib/debug"

// subject is a file whose addresses are named.
type subject struct {
	path   string
	tables []*table // in the order in which they are asked
	// full is the file that has the first table: path, or its debug file.
	// llvm-symbolizer is asked about it: from a debug file beside the one it is
	// asked about it takes only the DWARF, with the names of inlined functions.
	full string
	im   *image.Image
	sym  *symbolize.Symbolizer
}

var buildID = regexp.MustCompile(`Build ID: ([0-9a-f]{2})([0-9a-f]+)`)

// open reads a file's symbols with readelf, and its separate debug file's where it
// has no full symbol table.
func open(path string) (*subject, error) {
	im, err := elfsym.OpenPath(path)
	if err != nil {
		return nil, err
	}
	s := &subject{path: path, full: path, im: image.NewImage(im)}
	s.sym = symbolize.NewForImage(symbolize.Options{
		Demangle: symbolize.None,
		Debug:    &debugfile.Finder{Dirs: []string{debugDir}},
	})
	if s.tables, err = readTables(path); err != nil {
		return nil, err
	}
	if len(s.tables) > 0 && s.tables[0].label == path+" .symtab" {
		return s, nil
	}
	notes, err := exec.Command("readelf", "-n", path).Output()
	if err != nil {
		return nil, fmt.Errorf("readelf -n %s: %w", path, err)
	}
	if id := buildID.FindSubmatch(notes); id != nil {
		debug := fmt.Sprintf("%s/.build-id/%s/%s.debug", debugDir, id[1], id[2])
		if _, err := os.Stat(debug); err == nil {
			more, err := readTables(debug)
			if err != nil {
				return nil, err
			}
			s.tables = append(more, s.tables...)
			if len(more) > 0 {
				s.full = debug
			}
		}
	}
	return s, nil
}

// answer is bt's for an address.
type answer struct {
	name   string // "" where it has none
	start  uint64
	source string
}

func (s *subject) bt(addr uint64) answer {
	f := []stack.Frame{{PC: addr, Exact: true}}
	s.sym.InImage(s.im, f)
	n := f[0].Function()
	if n == nil {
		return answer{}
	}
	return answer{escape.Name(n.Symbol), addr - n.Offset, n.Source}
}

// functions returns the first address of every function.
func (s *subject) functions() (out []uint64) {
	for _, t := range s.tables {
		for _, sym := range t.syms {
			if sym.function {
				out = append(out, sym.value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// random returns n addresses of the executable sections.
func (s *subject) random(rng *rand.Rand, n int) []uint64 {
	total := uint64(0)
	var areas [][2]uint64
	if len(s.tables) > 0 {
		areas = s.tables[len(s.tables)-1].areas
	}
	for _, a := range areas {
		total += a[1] - a[0]
	}
	if total == 0 {
		return nil
	}
	out := make([]uint64, n)
	for i := range out {
		at := rng.Uint64N(total)
		for _, a := range areas {
			if size := a[1] - a[0]; at < size {
				out[i] = a[0] + at
				break
			} else {
				at -= size
			}
		}
	}
	return out
}
