package elfsym

import (
	"debug/elf"

	"github.com/gatedso/bt/internal/guard"
)

// maxFileSearch bounds the search for the STT_FILE symbol in front of a symbol.
const maxFileSearch = 1 << 20

// SourceFile returns the name of the source file that the symbol table gives for
// the local symbol at vaddr: that of the STT_FILE symbol in front of it. It is
// without directories, and empty where there is none.
func (im *Image) SourceFile(vaddr uint64) (name string) {
	guard.Read(func() error {
		ref := [1]uint32{}
		im.refs([]uint64{vaddr}, ref[:])
		t, i := im.table(Ref(ref[0]))
		if t == nil {
			return nil
		}
		s := t.at(i)
		if elf.ST_BIND(s.info) != elf.STB_LOCAL {
			return nil
		}
		for n := 0; i > 0 && n < maxFileSearch; n++ {
			i--
			if s := t.at(i); s.typ() == elf.STT_FILE {
				name = string(t.nameAt(s.name, maxName))
				return nil
			}
		}
		return nil
	})
	return name
}
