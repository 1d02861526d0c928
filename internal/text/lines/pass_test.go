package lines

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// numbering puts before each line how many were before it, which the scan
// tells the workers.
func numbering(t *testing.T) Passer {
	lines := 0
	return Passer{
		Scan: func(p *Piece) error {
			p.State = lines
			lines += bytes.Count(p.Data, []byte("\n"))
			return nil
		},
		Worker: func() func(*Piece, []byte, func([]byte) []byte) []byte {
			return func(p *Piece, dst []byte, flush func([]byte) []byte) []byte {
				if p.Long {
					return append(dst, p.Data...)
				}
				n := p.State.(int)
				for line := range bytes.Lines(p.Data) {
					dst = append(dst, byte('0'+n%10))
					dst = flush(append(dst, line...))
					n++
				}
				return dst
			}
		},
	}
}

// TestPass cuts texts in every way, and checks that no worker's output is out
// of order and that long lines are passed through.
func TestPass(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var in, want strings.Builder
		maxLine := 1 + rnd.IntN(100)
		for n := range rnd.IntN(40) {
			line := strings.Repeat("x", rnd.IntN(120)) + "\n"
			if in.WriteString(line); len(line) <= maxLine+1 {
				want.WriteByte(byte('0' + n%10))
			}
			want.WriteString(line)
		}
		lim := limits{chunk: 1 + rnd.IntN(300), flush: 1 + rnd.IntN(300), maxLine: maxLine}
		for workers := 1; workers <= 3; workers++ {
			var out bytes.Buffer
			r := &splitReader{data: []byte(in.String()), sizes: []int{1 + rnd.IntN(50), 1 + rnd.IntN(50)}}
			if err := pass(r, &out, numbering(t), workers, lim); err != nil || out.String() != want.String() {
				t.Fatalf("%d workers, %+v: error %v, got\n%q, want\n%q", workers, lim, err, out.String(), want.String())
			}
		}
	}
}

func TestPassErrors(t *testing.T) {
	in := strings.Repeat("some line\n", 10_000)
	for workers := 1; workers <= 3; workers++ {
		lim := limits{chunk: 100, flush: 50, maxLine: 1000}
		if err := pass(strings.NewReader(in), &failingWriter{50}, numbering(t), workers, lim); err != errClosed {
			t.Errorf("%d workers: error %v of a writer, want %v", workers, err, errClosed)
		}
		var out bytes.Buffer
		r := io.MultiReader(strings.NewReader(in), brokenReader{})
		if err := pass(r, &out, numbering(t), workers, lim); err != errBroken || out.Len() != len(in)+10_000 {
			t.Errorf("%d workers: error %v of a reader after %d bytes, want %v after %d", workers, err, out.Len(), errBroken, len(in)+10_000)
		}
	}
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }
