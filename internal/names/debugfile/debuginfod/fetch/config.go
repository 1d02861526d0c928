// Package fetch downloads debug files from debuginfod servers into the cache.
// It links net/http, which is why bt itself does not import it.
package fetch

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/names/debugfile/debuginfod"
)

// Config says whom a Client asks, and what it lets them do.
type Config struct {
	URLs  []string // http, https or file, as in DEBUGINFOD_URLS
	Cache debuginfod.Cache

	Stall   time.Duration // gives up when no byte comes for so long; 0: never
	Total   time.Duration // gives up when a download takes longer; 0: never
	MaxSize int64         // in bytes; 0: no limit

	Progress io.Writer // shows downloads that take longer than a second, unless nil
	Note     func(format string, args ...any)
}

// The defaults. elfutils waits 90 s for the first 100 kB and then for ever: too
// long for a tool that can do without.
const (
	DefaultStall   = 10 * time.Second
	DefaultTotal   = 90 * time.Second
	DefaultMaxSize = 4 << 30
)

// FromEnv reads the variables of debuginfod-find(1): DEBUGINFOD_URLS,
// DEBUGINFOD_TIMEOUT (Stall), DEBUGINFOD_MAXTIME (Total), DEBUGINFOD_MAXSIZE and
// those of the cache. DEBUGINFOD_PROGRESS has progress written to stderr.
func FromEnv(getenv func(string) string) Config {
	number := func(name string, def int64) int64 {
		if n, err := strconv.ParseInt(getenv(name), 10, 64); err == nil {
			return min(max(n, 0), 1<<50)
		}
		return def
	}
	seconds := func(name string, def time.Duration) time.Duration {
		return time.Duration(min(number(name, int64(def/time.Second)), 1e9)) * time.Second
	}
	c := Config{
		URLs:    strings.Fields(getenv("DEBUGINFOD_URLS")),
		Cache:   debuginfod.DefaultCache(getenv),
		Stall:   seconds("DEBUGINFOD_TIMEOUT", DefaultStall),
		Total:   seconds("DEBUGINFOD_MAXTIME", DefaultTotal),
		MaxSize: number("DEBUGINFOD_MAXSIZE", DefaultMaxSize),
	}
	if getenv("DEBUGINFOD_PROGRESS") != "" {
		c.Progress = os.Stderr
	}
	return c
}
