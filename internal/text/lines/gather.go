package lines

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gatedso/bt/internal/guard"
)

// gatherer reads ahead of a reader as much as it gives, up to max bytes, so that
// a Read returns all that has come meanwhile.
type gatherer struct {
	r   io.Reader
	max int

	mu   sync.Mutex
	more sync.Cond // buf or err changed
	buf  []byte
	err  error
	stop bool
}

// Where this many bytes have come at once, no person has typed them: the rest
// is waited for as long as it keeps coming.
const (
	gatherBulk = 16 << 10
	gatherWait = 5 * time.Millisecond
)

func gather(r io.Reader, max int) *gatherer {
	g := &gatherer{r: r, max: max}
	g.more.L = &g.mu
	go guard.Run(g.fill)
	return g
}

func (g *gatherer) fill() {
	piece := make([]byte, 256<<10)
	for idle := 0; ; {
		n, err := g.r.Read(piece)
		if n == 0 && err == nil {
			if idle++; idle < 100 {
				continue
			}
			err = io.ErrNoProgress
		}
		idle = 0
		g.mu.Lock()
		for len(g.buf) >= g.max && !g.stop {
			g.more.Wait()
		}
		g.buf = append(g.buf, piece[:n]...)
		g.err = err
		stop := g.stop || err != nil
		g.more.Broadcast()
		g.mu.Unlock()
		if stop {
			return
		}
	}
}

// Read waits for the first byte, but not for more than what comes at once.
func (g *gatherer) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.buf) == 0 && g.err == nil {
		g.more.Wait()
	}
	for n := 0; len(g.buf) >= gatherBulk && len(g.buf) > n && len(g.buf) < min(g.max, len(p)) && g.err == nil; {
		n = len(g.buf)
		g.mu.Unlock()
		time.Sleep(gatherWait)
		g.mu.Lock()
	}
	n := copy(p, g.buf)
	if n == len(g.buf) {
		g.buf = g.buf[:0]
	} else {
		g.buf = append(g.buf[:0], g.buf[n:]...)
	}
	g.more.Broadcast()
	if n == 0 {
		return 0, g.err
	}
	return n, nil
}

var errStopped = errors.New("stopped")

// close ends the reading; a Read that is under way lasts as long as it does.
func (g *gatherer) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop = true
	if g.err == nil {
		g.err = errStopped
	}
	g.more.Broadcast()
}
