package fault

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The kernel's real-time signals begin at 32; libc keeps the
// first two for itself, so that SIGRTMIN is 34 for programs.
const libcRtMin, sigRtMax = 34, 64

// SignalName returns a signal's name: "SIGUSR1", "SIGRTMIN+3".
func SignalName(n int) string {
	if name := unix.SignalName(unix.Signal(n)); name != "" {
		return name
	}
	switch {
	case n == libcRtMin:
		return "SIGRTMIN"
	case n > libcRtMin && n <= sigRtMax:
		return fmt.Sprintf("SIGRTMIN+%d", n-libcRtMin)
	}
	return fmt.Sprintf("%d", n)
}
