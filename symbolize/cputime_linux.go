package symbolize

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns how long the calling thread has run.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
