package record

import (
	"math"
	"math/rand/v2"
	"time"
)

// pacer decides when the next sample is due: at the rate that was asked for, and no
// sooner than the share of the time allows in which the target may stand still.
//
// Each period has one sample, at a random moment of it. At the same moment of each a
// program that does its work in rounds of the same length would always be seen in the
// same part of a round.
type pacer struct {
	period time.Duration
	share  float64
	begin  time.Time
	slot   int64         // the number of the period that the last sample was for
	paid   int64         // and of the one up to which debt counts
	debt   time.Duration // what the target has stood still more than it may; negative: less
	offset func() time.Duration

	lowered int // samples that were put off for the share
	late    int // samples that were left out because bt was busy
}

// credit is for how long a target that stands still less than it may can stand still
// more afterwards.
const credit = time.Second

// never is later than any recording's end.
const never = 100 * 365 * 24 * time.Hour

func newPacer(hz, share float64, now time.Time) *pacer {
	p := &pacer{period: time.Duration(float64(time.Second) / hz), share: share, begin: now}
	p.offset = func() time.Duration { return rand.N(max(p.period, 1)) }
	return p
}

// next takes notice of the sample that was due, for which the target has stood still, and
// returns when the next one is due.
func (p *pacer) next(now time.Time, stood time.Duration) time.Time {
	allowed := p.share * float64(p.period) // in each period
	p.debt += stood - time.Duration(allowed*float64(p.slot-p.paid))
	p.debt = max(p.debt, -time.Duration(p.share*float64(credit)))
	p.paid = p.slot
	slot := p.slot + 1
	if present := int64(now.Sub(p.begin) / p.period); present > slot {
		p.late += int(present - slot)
		slot = present
	}
	if p.debt > 0 {
		periods := min(math.Ceil(float64(p.debt)/allowed), float64(never/p.period))
		if first := p.slot + int64(periods); first > slot {
			p.lowered += int(first - slot)
			slot = first
		}
	}
	p.slot = slot
	return p.begin.Add(time.Duration(slot)*p.period + p.offset())
}
