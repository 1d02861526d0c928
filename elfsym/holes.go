package elfsym

import (
	"fmt"
	"sort"
)

// hole is a range of a file for which it has no bytes: its file system makes up
// zeros. A few bytes of file can claim a table of a terabyte that lies in one.
// No linker leaves one inside of what this package reads, so that a hole ends
// the table or the segment that it begins in.
type hole struct{ start, end uint64 }

// maxHoles bounds what is remembered of a file: the last one goes on to its end.
const maxHoles = 4096

// upToHole returns how many of the size bytes from off on come before a hole.
func (im *Image) upToHole(off, size uint64) uint64 {
	i := sort.Search(len(im.holes), func(i int) bool { return im.holes[i].end > off })
	if i == len(im.holes) || im.holes[i].start >= off+size {
		return size
	}
	return im.holes[i].start - min(off, im.holes[i].start)
}

// Cut says which symbol table has been left unread in part and why, "" if none
// was: a reason for a name to be missing.
func (im *Image) Cut() string { return im.cut }

// cutTable notes that a table of size bytes has been cut to n symbols.
func (im *Image) cutTable(name string, size, n uint64) {
	im.cut = fmt.Sprintf("its %s is said to have %d bytes, of which it holds %d symbols", name, size, n)
}
