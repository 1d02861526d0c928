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
	more sync.Cond // what follows changed
	full [][]byte  // what has come, in pieces, the first ones first
	size int       // bytes in full
	err  error
	stop bool
}

// Where this many bytes have come at once, no person has typed them: the rest
// is waited for as long as it keeps coming.
const (
	gatherBulk = 16 << 10
	gatherWait = 5 * time.Millisecond
	pieceSize  = 256 << 10
	typedSize  = 4 << 10 // a piece that is no larger gets no room for more
)

func gather(r io.Reader, max int) *gatherer {
	g := &gatherer{r: r, max: max}
	g.more.L = &g.mu
	go guard.Run(g.fill)
	return g
}

func (g *gatherer) fill() {
	var piece []byte
	for idle := 0; ; {
		if piece == nil {
			piece = make([]byte, 0, pieceSize)
		}
		n, err := g.r.Read(piece[:pieceSize])
		if n == 0 && err == nil {
			if idle++; idle < 100 {
				continue
			}
			err = io.ErrNoProgress
		}
		idle = 0
		g.mu.Lock()
		for g.size >= g.max && !g.stop {
			g.more.Wait()
		}
		piece = g.add(piece, n)
		g.err = err
		stop := g.stop || err != nil
		g.more.Broadcast()
		g.mu.Unlock()
		if stop {
			return
		}
	}
}

// add takes the n bytes that piece was filled with, and returns the one to fill next,
// nil for a new one. The caller holds g.mu.
func (g *gatherer) add(piece []byte, n int) []byte {
	g.size += n
	switch last := len(g.full) - 1; {
	case n == 0:
	case last >= 0 && len(g.full[last])+n <= cap(g.full[last]):
		g.full[last] = append(g.full[last], piece[:n]...)
	case n >= pieceSize/2:
		g.full = append(g.full, piece[:n])
		return nil
	case n > typedSize:
		g.full = append(g.full, append(make([]byte, 0, pieceSize), piece[:n]...))
	default:
		g.full = append(g.full, append([]byte(nil), piece[:n]...))
	}
	return piece
}

// Read waits for the first byte, but not for more than what comes at once.
func (g *gatherer) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.size == 0 && g.err == nil {
		g.more.Wait()
	}
	for n := 0; g.size >= gatherBulk && g.size > n && g.size < min(g.max, len(p)) && g.err == nil; {
		n = g.size
		g.mu.Unlock()
		time.Sleep(gatherWait)
		g.mu.Lock()
	}
	n := 0
	for n < len(p) && len(g.full) > 0 {
		k := copy(p[n:], g.full[0])
		n += k
		if g.full[0] = g.full[0][k:]; len(g.full[0]) == 0 {
			g.full = g.full[1:]
		}
	}
	g.size -= n
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
