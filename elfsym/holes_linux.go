package elfsym

import (
	"os"

	"golang.org/x/sys/unix"
)

// holesOf finds the holes of a file, in ascending order. Where its file system
// cannot tell there are none. The file's offset stays as it is.
func holesOf(f *os.File) (list []hole) {
	fd := int(f.Fd())
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Blocks*512 >= st.Size {
		return nil
	}
	was, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err != nil {
		return nil
	}
	defer unix.Seek(fd, was, unix.SEEK_SET)
	for at := int64(0); at < st.Size; {
		start, err := unix.Seek(fd, at, unix.SEEK_HOLE)
		if err != nil || start >= st.Size { // a file's end counts as a hole
			return list
		}
		end, err := unix.Seek(fd, start, unix.SEEK_DATA)
		if err != nil || len(list) == maxHoles-1 {
			end = st.Size // ENXIO: no data follows
		}
		list = append(list, hole{uint64(start), uint64(end)})
		at = max(end, start+1)
	}
	return list
}
