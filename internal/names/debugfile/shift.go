package debugfile

import (
	"debug/elf"
	"fmt"

	"github.com/gatedso/bt/elfsym"
)

// codeSections are those that symbols for code lie in.
var codeSections = []string{".text", ".init", ".fini"}

// Shift returns what is to be added to the addresses of im's debug file, modulo
// 2^64, to get those of im: 0, unless im was prelinked, which moves a file and
// leaves its build ID. It fails where the two do not lie alike, so that no shift
// would do.
//
// GDB compares sections by their names, and elfutils the first PT_LOAD. Some
// tools write debug files whose segments mean nothing, so that sections come
// first here as well, and segments where there are no sections.
func Shift(im, debug *elfsym.Image) (uint64, error) {
	var shift uint64
	found := false
	fits := func(a, b uint64) bool {
		if !found {
			shift, found = a-b, true
		}
		return a-b == shift
	}
	differ := func(what string) error {
		return fmt.Errorf("%s: its %s does not lie as the image's does", debug.Name, what)
	}
	for _, name := range codeSections {
		a, ok := im.Section(name)
		b, ok2 := debug.Section(name)
		if ok && ok2 && !fits(a.Addr, b.Addr) {
			return 0, differ(name + " section")
		}
	}
	if found {
		return shift, nil
	}
	a, b := codeSegments(im), codeSegments(debug)
	for i := range min(len(a), len(b)) {
		if !fits(a[i].Vaddr, b[i].Vaddr) {
			return 0, differ("code")
		}
	}
	return shift, nil
}

func codeSegments(im *elfsym.Image) []elfsym.Segment {
	var out []elfsym.Segment
	for _, s := range im.Segments() {
		if s.Flags&elf.PF_X != 0 {
			out = append(out, s)
		}
	}
	return out
}
