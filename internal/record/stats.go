//go:build linux

package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/process/live"
)

// Stats are the figures of a recording.
type Stats struct {
	Time    time.Duration // that it took
	Samples int
	Stops   int           // samples for which threads had to stand still
	Stopped time.Duration // that they stood still, together
	Longest time.Duration // the longest of these times

	Threads    int   // that were seen
	Stacks     int64 // of threads, in all samples
	Incomplete int64 // stacks that lack something

	// What was not counted:
	Lost    int // threads that ran and did not stop in time
	Unsure  int // stacks in code that was replaced about then
	Dropped int // stacks for which there was no room
	Full    bool

	Refused int // threads that may not be traced, at the end

	Lowered int // samples that were put off, for the share of the time
	Late    int // samples that were left out because bt was busy

	Execs int
	Views int         // how often what is mapped as code was looked at
	Ended *live.Ended // nil: the process runs on
	Gate  error       // what is wrong with the gate DSO
}

func (s *Stats) add(t *live.Sample) {
	s.Samples++
	s.Lost += t.Lost
	s.Stopped += t.Pause
	s.Longest = max(s.Longest, t.Pause)
	if t.Stopped > 0 {
		s.Stops++
	}
}

// Hz is the rate of the samples that were taken.
func (s *Stats) Hz() float64 {
	if s.Time <= 0 {
		return 0
	}
	return float64(s.Samples) / s.Time.Seconds()
}

// Share is the share of the time in which the process stood still.
func (s *Stats) Share() float64 {
	if s.Time <= 0 {
		return 0
	}
	return s.Stopped.Seconds() / s.Time.Seconds()
}

// Missing tells what is not in the recording, or not whole; empty if nothing is.
func (s *Stats) Missing() string {
	var list []string
	add := func(n int64, what string) {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(s.Incomplete, "lack frames")
	add(int64(s.Lost), "are missing: the threads did not stop in time")
	add(int64(s.Unsure), "are missing: their code was replaced about then")
	add(int64(s.Dropped), "are missing: there are too many different ones")
	text := strings.Join(list, ", ")
	if text != "" {
		text = fmt.Sprintf("of %d stacks, %s", s.Stacks, text)
	}
	if s.Refused > 0 {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("threads that may not be traced are missing: %d", s.Refused)
	}
	return text
}

// Stats returns the figures, when the recording is over.
func (r *Recording) Stats() Stats { return r.s.stats }

// Progress tells how many samples were taken so far, how many threads there are, and
// how long the process has stood still. It may be called while it is recorded.
func (r *Recording) Progress() (samples, threads int, stopped time.Duration) {
	l := &r.s.live
	return int(l.samples.Load()), int(l.threads.Load()), time.Duration(l.stopped.Load())
}
