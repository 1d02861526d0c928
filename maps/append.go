package maps

import "strconv"

// nameColumn is where names start: fs/proc/task_mmu.c pads to
// 25 + 6*sizeof(void *) characters, here those of a 64-bit kernel.
const nameColumn = 25 + 6*8

// AppendLine appends m to dst as a 64-bit kernel of today writes it, without a
// newline, and returns the extended slice.
func AppendLine(dst []byte, m *Mapping) []byte {
	start := len(dst)
	dst = appendHex(dst, m.Start, 8)
	dst = append(dst, '-')
	dst = appendHex(dst, m.End, 8)
	dst = append(dst, ' ')
	dst = m.Perm.append(dst)
	dst = append(dst, ' ')
	dst = appendHex(dst, m.Offset, 8)
	dst = append(dst, ' ')
	dst = appendHex(dst, uint64(m.Major()), 2)
	dst = append(dst, ':')
	dst = appendHex(dst, uint64(m.Minor()), 2)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, m.Inode, 10)
	dst = append(dst, ' ')
	if m.Path == "" && !m.Padded {
		return dst
	}
	dst = append(dst, ' ') // one at least, however long the numbers
	for len(dst)-start < nameColumn {
		dst = append(dst, ' ')
	}
	for i := 0; i < len(m.Path); i++ {
		if c := m.Path[i]; c == '\n' {
			dst = append(dst, `\012`...)
		} else {
			dst = append(dst, c)
		}
	}
	if m.Deleted {
		dst = append(dst, deleted...)
	}
	return dst
}

// appendHex appends v with at least width digits.
func appendHex(dst []byte, v uint64, width int) []byte {
	for n := 16; n > 0; n-- {
		if d := v >> (4 * (n - 1)); d != 0 || n <= width {
			dst = append(dst, "0123456789abcdef"[d&15])
		}
	}
	return dst
}
