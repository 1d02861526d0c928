//go:build linux

package record

import (
	"testing"
	"time"
)

// simulate takes samples for a time; each stops the process for as long as stood says.
func simulate(p *pacer, d time.Duration, stood func(i int) time.Duration) (samples int, stopped time.Duration) {
	now := p.begin
	for now.Sub(p.begin) < d {
		s := stood(samples)
		samples++
		stopped += s
		at := now
		now = p.next(at.Add(s), s)
		if !now.After(at) {
			panic("the next sample is not later")
		}
	}
	return samples, stopped
}

func TestPace(t *testing.T) {
	const d = 100 * time.Second
	begin := time.Unix(1000, 0)
	for _, tt := range []struct {
		name    string
		stood   time.Duration
		samples int
		lowered bool
	}{
		{"cheap", 100 * time.Microsecond, 5000, false},
		{"at the limit", 400 * time.Microsecond, 5000, false},
		{"over it", 4 * time.Millisecond, 500, true},
		{"far over it", 2 * time.Second, 1, true},
		{"none", 0, 5000, false},
	} {
		p := newPacer(50, 0.02, begin)
		n, stopped := simulate(p, d, func(int) time.Duration { return tt.stood })
		if n < tt.samples*98/100 || n > tt.samples*102/100+2 {
			t.Errorf("%s: %d samples, want %d", tt.name, n, tt.samples)
		}
		// The credit of a second, and the last sample, may come on top.
		if limit := d/50 + credit/50 + tt.stood; stopped > limit {
			t.Errorf("%s: stopped for %v, at most %v is allowed", tt.name, stopped, limit)
		}
		if (p.lowered > 0) != tt.lowered {
			t.Errorf("%s: %d samples were put off", tt.name, p.lowered)
		}
	}
}

// One long stop does not end the recording, and is paid for.
func TestPaceAfterLongStop(t *testing.T) {
	p := newPacer(50, 0.02, time.Unix(1000, 0))
	n, stopped := simulate(p, 100*time.Second, func(i int) time.Duration {
		if i == 100 {
			return 200 * time.Millisecond
		}
		return 50 * time.Microsecond
	})
	if n < 4000 || n > 4800 {
		t.Errorf("%d samples", n)
	}
	if stopped > 2*time.Second {
		t.Errorf("stopped for %v", stopped)
	}
}

// A sample that bt is late with is left out, and does not make those after it late.
func TestPaceLate(t *testing.T) {
	p := newPacer(100, 0.02, time.Unix(1000, 0))
	p.offset = func() time.Duration { return 0 }
	at := p.begin
	next := p.next(at.Add(45*time.Millisecond), 0)
	if want := at.Add(40 * time.Millisecond); !next.Equal(want) { // at once
		t.Errorf("next after %v, want %v", next.Sub(at), want.Sub(at))
	}
	if p.late != 3 {
		t.Errorf("%d samples were late", p.late)
	}
}

// A program whose rounds are as long as the period is seen in all parts of a round.
func TestPaceRounds(t *testing.T) {
	p := newPacer(100, 0.5, time.Unix(1000, 0))
	var parts [10]int
	for at := p.begin; at.Sub(p.begin) < 100*time.Second; {
		at = p.next(at, 0)
		parts[at.Sub(p.begin)%p.period*10/p.period]++
	}
	for i, n := range parts {
		if n < 800 || n > 1200 { // of 10,000; the standard deviation is 30
			t.Errorf("%d samples in part %d of a round", n, i)
		}
	}
}
