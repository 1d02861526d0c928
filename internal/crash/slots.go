package crash

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// slot waits for one of n places among the handlers that work at the same time,
// at most for the time given. Where others keep them it returns nil. A place is
// free again when its holder ends, however it does.
func (d *Dir) slot(n int, wait time.Duration) (release func(), err error) {
	const pause = 40 * time.Millisecond
	for end := time.Now().Add(wait); ; time.Sleep(pause) {
		for i := range n {
			f, err := d.open(fmt.Sprintf(".slot-%d", i), unix.O_RDWR|unix.O_CREAT)
			if err != nil {
				return nil, err
			}
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				return func() { f.Close() }, nil
			}
			f.Close()
		}
		if !time.Now().Before(end) {
			return nil, nil
		}
	}
}
