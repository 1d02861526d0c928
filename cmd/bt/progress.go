//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatedso/bt/internal/guard"
)

// progressEvery is after how long a user is told how far bt is, and how often from then.
const progressEvery = time.Second / 2

// eraseLine is what has a terminal erase the line that the cursor is in.
const eraseLine = "\r\x1b[K"

// progress tells on a terminal how far bt is, unless that takes less than half a second,
// until stop is called.
func (a *app) progress(text func() string) (stop func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	done, over := make(chan struct{}), make(chan struct{})
	go guard.Run(func() {
		defer close(over)
		shown := false
		for {
			select {
			case <-done:
				if shown {
					a.telling.Store(false)
					fmt.Fprint(a.stderr, eraseLine)
				}
				return
			case <-time.After(progressEvery):
			}
			shown = true
			a.telling.Store(true)
			fmt.Fprintf(a.stderr, eraseLine+"bt: %s", text())
		}
	})
	return func() { close(done); <-over }
}

// counted counts the bytes that are read from a file.
type counted struct {
	*os.File
	n    atomic.Int64
	size int64 // of a regular file; 0: not known
}

func newCounted(f *os.File) *counted {
	c := &counted{File: f}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		c.size = st.Size()
	}
	return c
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// text tells how much has been read.
func (c *counted) text() string {
	const mega = 1e6
	if c.size > 0 {
		return fmt.Sprintf("%.1f of %.1f MB read", float64(c.n.Load())/mega, float64(c.size)/mega)
	}
	return fmt.Sprintf("%.1f MB read", float64(c.n.Load())/mega)
}

// input is standard input, of which a terminal is told how much has been read. Where the
// output goes to a terminal, too, or the user types the input, that shows it.
func (a *app) input(out *output) (in io.Reader, stop func()) {
	if isTerminal(out.File) || isTerminal(a.stdin) {
		return a.stdin, func() {}
	}
	c := newCounted(a.stdin)
	return c, a.progress(c.text)
}
