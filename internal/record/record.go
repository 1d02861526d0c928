//go:build linux

package record

import (
	"time"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/session"
)

// Options says how to record.
type Options struct {
	Hz       float64       // samples a second
	Duration time.Duration // 0: until the process ends, or Stop
	// MaxShare is the share of the time, above 0 and up to 1, in which the process may
	// stand still: samples are taken less often where it would be more.
	MaxShare  float64
	OnCPU     bool // only threads that run, or are ready to
	Native    bool // no frames of language runtimes
	MaxFrames int  // of a stack; 0: no limit
	// Timeline keeps when each stack was seen, for formats that have a place for it.
	Timeline bool
	// Stop reports whether to end; it is called often, by several goroutines.
	Stop func() bool
}

// Recording is what was recorded of a process, or what is being recorded.
type Recording struct {
	PID  int
	Name string
	s    *sampler
	own  *live.Process // of a command
}

// New prepares to record a process.
func New(s *session.Session, o *Options) *Recording {
	return &Recording{s: &sampler{o: o, session: s, tables: newTables(), threads: newThreads(o.Timeline)}}
}

// Process records a process, and returns when that is over. The error is that it could
// not begin. p stays the caller's, and is closed after the Recording.
func (r *Recording) Process(p *live.Process) error {
	r.about(p)
	// What can be done before the process is traced is done before.
	if text, err := p.Maps(); err == nil {
		r.s.renew(text)
	}
	defer garbage.begin()()
	err := p.Attach(r.s.attachOptions(), func(a *live.Attachment) { r.s.run(a, r.s.o.Stop) })
	r.s.finish()
	return err
}

func (r *Recording) about(p *live.Process) {
	r.PID, r.Name, r.s.p = p.PID, session.ProcessName(p), p
}

// Close ends the use of the process's files. A command's process is closed, too.
func (r *Recording) Close() {
	if r.s.view != nil {
		r.s.view.close()
	}
	if r.own != nil {
		r.own.Close()
	}
}

// Command runs a command and records it from its first instruction on. recorded is
// called when the recording is over, also where it could not begin; Command returns
// when the command has ended, too.
func (r *Recording) Command(c live.Command, recorded func()) (live.Ended, error) {
	defer garbage.begin()()
	done := make(chan struct{})
	over := make(chan struct{})
	go guard.Run(func() {
		defer close(over)
		<-done
		r.s.finish()
		recorded()
	})
	end, err := live.Follow(c, r.s.attachOptions(), func(p *live.Process, a *live.Attachment) {
		r.own = p
		r.about(p)
		r.s.run(a, r.s.o.Stop)
		close(done)
	})
	if r.own == nil {
		close(done)
	}
	<-over
	return end, err
}
