package record

import "time"

// pacer decides when the next sample is due: at the rate that was asked for, and no
// sooner than the share of the time allows in which the target may stand still.
type pacer struct {
	period time.Duration
	share  float64
	begin  time.Time
	last   time.Time     // of the last sample
	debt   time.Duration // what the target has stood still more than it may; negative: less

	lowered int // samples that were put off for the share
	late    int // samples that were left out because bt was busy
}

// credit is for how long a target that stands still less than it may can stand still
// more afterwards.
const credit = time.Second

func newPacer(hz, share float64, now time.Time) *pacer {
	return &pacer{period: time.Duration(float64(time.Second) / hz), share: share, begin: now, last: now}
}

// next takes notice of a sample that was taken at a time, for which the target has stood
// still, and returns when the next one is due.
func (p *pacer) next(at, now time.Time, stood time.Duration) time.Time {
	p.debt += stood - time.Duration(p.share*float64(at.Sub(p.last)))
	p.debt = max(p.debt, -time.Duration(p.share*float64(credit)))
	p.last = at
	// The samples are due at multiples of the period: a late one makes none after it
	// late.
	due := p.begin.Add((at.Sub(p.begin)/p.period + 1) * p.period)
	if over := now.Sub(due); over > p.period/2 {
		skip := (over + p.period/2) / p.period
		p.late += int(skip)
		due = due.Add(skip * p.period)
	}
	if p.debt > 0 {
		if allowed := at.Add(time.Duration(float64(p.debt) / p.share)); allowed.After(due) {
			p.lowered += int((allowed.Sub(due) + p.period - 1) / p.period)
			due = p.begin.Add(((allowed.Sub(p.begin) + p.period - 1) / p.period) * p.period)
		}
	}
	return due
}
