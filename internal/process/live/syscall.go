//go:build linux

package live

import (
	"strconv"
	"strings"
)

// parseSyscall reads /proc/PID/task/TID/syscall: "nr arg1 … arg6 sp pc", or
// "-1 sp pc" outside a system call, or "running". nr is -1 when unknown.
func parseSyscall(s string) (nr int, args []uint64, sp, pc uint64, ok bool) {
	f := strings.Fields(s)
	if len(f) != 3 && len(f) != 9 {
		return -1, nil, 0, 0, false
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil {
		return -1, nil, 0, 0, false
	}
	v := make([]uint64, 0, 8)
	for _, w := range f[1:] {
		x, err := strconv.ParseUint(strings.TrimPrefix(w, "0x"), 16, 64)
		if err != nil {
			return -1, nil, 0, 0, false
		}
		v = append(v, x)
	}
	n := len(v) - 2
	return nr, v[:n], v[n], v[n+1], true
}
