//go:build unix

package symbolize

import (
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/names/mangled"
)

// Demangle says what becomes of the mangled names of C++, Rust, D, Fortran and OCaml.
type Demangle uint8

const (
	Full  Demangle = iota // with parameters
	Short                 // without parameters
	None                  // left as they are
)

// maxMangled and maxDemangled bound demangling, in bytes and as a power of two:
// a few bytes of a hostile name can stand for gigabytes.
const (
	maxMangled   = 8 << 10
	maxDemangled = 16
)

// maxShownName is how much of a name is shown, in bytes; "…" stands for the rest.
const maxShownName = 16 << 10

// Bounds of the estimate of work. A unit is about a tenth of a nanosecond at worst.
// The names of libLLVM and node come to 1<<28 at most.
const (
	maxWork   = 1 << 31 // for one name
	freeWork  = 1 << 26 // what costs less is not counted
	shortName = 1 << 10 // bytes: names that are tried even when all time is used up
)

// Bounds of the time that demangling takes. What compilers make takes a thousandth
// of its estimate: the hundred names of node above freeWork take milliseconds. Were
// the estimate counted, which of them are demangled would depend on which come first.
const (
	allTime  = 500 * time.Millisecond // for all names of a symbolizer that are counted
	overTime = 13 * time.Millisecond  // of a name that turns out to be too long to show
)

// work estimates how long demangling a name may take. Expanding parameter packs
// and chains of constructors takes the demangler a time that is cubic in the
// name's length, the former about 1000 times that of the latter.
func work(raw string) uint64 {
	// An identifier may hold "sp", such as boost::spirit. It is an expansion
	// only within an expression.
	exprs := strings.ContainsAny(raw, "XQ") || strings.Contains(raw, "DT") || strings.Contains(raw, "Dt") || strings.Contains(raw, "DO")
	work := uint64(0)
	for i := range len(raw) - 1 {
		switch a, b := raw[i], raw[i+1]; {
		case a == 'D' && b == 'p', a == 's' && b == 'p' && exprs:
			work += 1000
		case (a == 'C' || a == 'D') && b >= '0' && b <= '5':
			work++
		}
	}
	return work * uint64(len(raw)) * uint64(len(raw))
}

// demangler demangles the names of one symbolizer. Those that may take long share a
// budget of time: when it is used up they are shown as they are. It is safe for
// concurrent use.
type demangler struct {
	mode Demangle
	used atomic.Int64         // of allTime, in nanoseconds
	now  func() time.Duration // since some moment; nil: time.Since
}

// began is the moment that demanglers measure time from.
var began = time.Now()

func (d *demangler) clock() time.Duration {
	if d.now != nil {
		return d.now()
	}
	return time.Since(began)
}

// stopwatch is a moment: on the clock, and of the thread.
type stopwatch struct{ clock, thread time.Duration }

func (d *demangler) start() stopwatch { return stopwatch{d.clock(), threadTime()} }

// since returns how long a name has taken. On a busy machine most of what the clock
// says goes to other programs, and then names would be left as they are. Where the
// goroutine has gone on on another thread, the clock counts.
func (d *demangler) since(s stopwatch) time.Duration {
	took := d.clock() - s.clock
	if ran := threadTime() - s.thread; d.now == nil && ran > 0 {
		took = min(took, ran)
	}
	return took
}

// name makes a symbol's name fit to show: demangled, and not without end.
func (d *demangler) name(raw string) string {
	if d.mode == None || !looksMangled(raw) || len(raw) > maxMangled {
		return cut(raw)
	}
	cost := work(raw)
	if cost > maxWork || d.used.Load() > int64(allTime) && (cost > freeWork || len(raw) > shortName) {
		return cut(raw)
	}
	var start stopwatch
	if cost > freeWork {
		start = d.start()
	}
	name, ok := d.mode.demangled(raw)
	if cost > freeWork {
		d.used.Add(int64(d.since(start)))
	}
	if len(name) >= 1<<maxDemangled {
		d.used.Add(int64(overTime))
		return cut(raw)
	}
	if !ok || name == "" {
		return cut(raw)
	}
	return cut(withClones(name, raw))
}

// cut bounds a name.
func cut(name string) string {
	if len(name) <= maxShownName {
		return name
	}
	end := maxShownName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "…"
}

func (d Demangle) demangled(raw string) (name string, ok bool) {
	if name, ok := mangled.Decode(raw, d != Short); ok {
		return name, true
	}
	opts := []demangle.Option{demangle.MaxLength(maxDemangled)}
	if d == Short {
		opts = append(opts, demangle.NoParams)
	}
	// The demangler panics on some names that no compiler has mangled.
	err := guard.Library(func() (err error) {
		name, err = demangle.ToString(raw, opts...)
		return err
	})
	return name, err == nil
}

// looksMangled reports whether name looks like one that package mangled or the
// library decodes at all.
func looksMangled(name string) bool {
	if strings.HasPrefix(name, "caml") || strings.HasPrefix(name, "__") && strings.Contains(name, "_MOD_") {
		return true
	}
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_D") || strings.HasPrefix(name, "_R") || strings.HasPrefix(name, "__Z") ||
		strings.HasPrefix(name, "___Z") || strings.HasPrefix(name, "_GLOBAL_")
}
