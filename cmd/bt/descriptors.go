//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// spareDescriptors is how many files bt must be able to open to do anything at
// all.
const spareDescriptors = 10

// checkDescriptors tells of a limit that leaves too few file descriptors.
func checkDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 256 {
		return nil
	}
	var spare []int
	var err error
	for range spareDescriptors {
		var fd int
		if fd, err = unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			break
		}
		spare = append(spare, fd)
	}
	for _, fd := range spare {
		unix.Close(fd)
	}
	if errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("too few file descriptors: %d are allowed, bt needs %d besides those that are open: raise the limit (ulimit -n)",
			limit.Cur, spareDescriptors)
	}
	// The Go runtime needs two of them for its timers, and ends the program with a
	// trace if it cannot have them: it takes them now.
	time.AfterFunc(time.Hour, func() {}).Stop()
	return nil
}
