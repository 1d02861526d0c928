//go:build unix && !linux

package symbolize

import "time"

// threadTime returns 0: how long the calling thread has run is not known.
func threadTime() time.Duration { return 0 }
