//go:build linux

package session

import (
	"io"
	"sync"
	"time"

	"github.com/gatedso/bt/internal/escape"
)

// busyAfter is after how long a user is told what he waits for.
const busyAfter = 500 * time.Millisecond

// busy tells at a terminal which file is being read, when that takes long.
type busy struct {
	out   io.Writer
	after time.Duration

	mu    sync.Mutex
	shown bool
}

// reading is symbolize.Options.Busy.
func (b *busy) reading(path string) (done func()) {
	over := false
	timer := time.AfterFunc(b.after, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if over {
			return
		}
		b.shown = true
		text := "reading debug information"
		if path != "" {
			text += " of " + escape.Text(path)
		}
		io.WriteString(b.out, "\r\x1b[K"+text)
	})
	return func() {
		timer.Stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		if over = true; b.shown {
			b.shown = false
			io.WriteString(b.out, "\r\x1b[K")
		}
	}
}
