package fetch

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/gatedso/bt/internal/guard"
)

// Serve is the other end of debuginfod.Helper: it reads build IDs in
// hexadecimal, one a line, and answers each with "ready", when the cache has the
// file, or "miss REASON"; "note TEXT" lines may stand before the answer. When in
// ends it gives up what it is doing and returns.
func Serve(c Config, in io.Reader, out io.Writer) error {
	var mu sync.Mutex
	say := func(verb, text string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s %s\n", verb, oneLine(text))
	}
	c.Note = func(format string, args ...any) { say("note", fmt.Sprintf(format, args...)) }
	client := NewClient(c)
	ids := make(chan string)
	var worker sync.WaitGroup
	guard.Go(&worker, func() {
		for line := range ids {
			id, err := hex.DecodeString(line)
			if err == nil {
				_, err = client.Fetch(id)
			}
			if err != nil {
				say("miss", err.Error())
			} else {
				say("ready", "")
			}
		}
	})
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		ids <- lines.Text()
	}
	close(ids)
	client.Close()
	worker.Wait()
	return lines.Err()
}

// oneLine keeps a message on its line, and a server from writing control
// characters into it.
func oneLine(s string) string {
	s = strings.ReplaceAll(s, "\n", "; ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 4000)]
}
