//go:build linux

package golang

import (
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/runtimes"
)

// nanotime is the runtime's clock in the target at this moment, CLOCK_MONOTONIC; 0
// where it is not known.
func nanotime(t *runtimes.Target) int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano() + t.ClockOffset
}
