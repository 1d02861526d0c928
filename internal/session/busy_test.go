//go:build linux

package session

import (
	"testing"
	"testing/synctest"
	"time"
)

// screen is what was written, piece by piece.
type screen []string

func (s *screen) Write(b []byte) (int, error) {
	*s = append(*s, string(b))
	return len(b), nil
}

// What takes long is told, and what was told is taken away.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out screen
		b := busy{out: &out, after: busyAfter}
		done := b.reading("/quick")
		time.Sleep(busyAfter - time.Millisecond)
		done()
		time.Sleep(time.Second)
		if len(out) != 0 {
			t.Errorf("of what is quick: %q", out)
		}
		done = b.reading("/slow\x1b[2J")
		time.Sleep(busyAfter + time.Millisecond)
		synctest.Wait()
		const want = "\r\x1b[Kreading debug information of /slow\\x1b[2J"
		if len(out) != 1 || out[0] != want {
			t.Errorf("of what is slow: %q", out)
		}
		done()
		if len(out) != 2 || out[1] != "\r\x1b[K" {
			t.Errorf("in the end: %q", out)
		}
	})
}
