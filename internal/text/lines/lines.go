// Package lines answers addresses that arrive as text: plain hexadecimal
// lists, bt's own reports, module+offset pairs, and what glibc's
// backtrace_symbols prints. It knows nothing of ELF files or processes; a
// Space names the addresses, and Options.Append prints them.
//
// The input is answered while it arrives, in constant memory. One goroutine
// reads whatever is there, cuts it at line ends and notes what later lines
// depend on (which address space, which kind of address); workers answer
// chunk by chunk; the chunks are written in the order in which they were read.
package lines

import (
	"io"

	"github.com/gatedso/bt/stack"
)

// Space names addresses of one address space. Its methods are called concurrently
// from several goroutines.
type Space interface {
	// Frames names frames, of which PC and Exact are given, as
	// symbolize.Symbolizer.Frames does: it overwrites the rest.
	Frames(frames []stack.Frame)
	// WordSize is the size in bytes of an address.
	WordSize() int
	// Locate turns an offset in a module into an address of this space.
	// module is as the input has it: a path or a base name.
	Locate(module string, off uint64) (addr uint64, ok bool)
}

// Bulk is a Space that names all addresses that there are at once much faster than
// a few at a time: see Options.Bulk.
type Bulk interface {
	Space
	// Find looks up n addresses, at most MaxBulk.
	Find(n int, frame func(i int) (pc uint64, exact bool)) Found
}

// Found names addresses that were given to Find. Its methods are called concurrently.
type Found interface {
	// Frames is Space.Frames for the addresses from the first-th on.
	Frames(frames []stack.Frame, first int)
}

// MaxBulk is how many addresses a Bulk is given at once.
const MaxBulk = 1 << 21

// BuildID is what a line `# build-id HEX PATH` says.
type BuildID struct {
	Path string // unescaped: the path as maps lines have it
	ID   string // hexadecimal, as written
}

// GateSymbol is what a line `# gate-symbol ADDR SIZE NAME` says: a symbol of the
// gate DSO of the process that the report is about. No other machine has that
// image, and a 64-bit bt does not have the 32-bit one.
type GateSymbol struct {
	Addr, Size uint64 // run-time address; size in bytes, 0 when unknown
	Name       string // unescaped
}

// Head is what a report says beside its maps lines.
type Head struct {
	BuildIDs    []BuildID
	GateSymbols []GateSymbol
}

// Options says how Run answers.
type Options struct {
	// Space, when set, answers every address, and maps lines in the input
	// are swallowed. When nil, the input is a sequence of self-contained
	// reports, and NewSpace makes their spaces.
	Space Space

	// NewSpace makes the Space of a report from its maps lines, each ended
	// by a newline, and the other lines of its head. It is called when the first
	// address comes after maps lines, at most once per run of maps lines,
	// never concurrently, and owns its arguments. An error ends the run.
	NewSpace func(mapsText []byte, head Head) (Space, error)

	// Append appends the answers to addresses to dst, one or several lines each, in
	// their order, at least the first one, until dst has limit bytes. It returns the
	// extended slice and how many frames it has taken. It is called concurrently.
	Append func(dst []byte, frames []stack.Frame, wordSize, limit int) (out []byte, n int)

	// Raw leaves addresses unnamed.
	Raw bool

	// ReturnAddresses makes addresses with no `# thread` line above them
	// return addresses; otherwise they are exact.
	ReturnAddresses bool

	// Bulk has all that can be had of the input read before it is answered, up
	// to some megabytes, for spaces that are Bulk. A line that comes alone is
	// answered at once all the same.
	Bulk bool
	// BulkBytes is how many bytes of input are read then at most: it is worth while to
	// read more, which takes memory, where it takes long to look up one. 0: a default.
	BulkBytes int

	// Workers is the number of goroutines that answer; 0 means GOMAXPROCS,
	// at most 16. With 1, no goroutine is started at all.
	Workers int
}

// Result says what was not as it should be. It is valid along with an error.
type Result struct {
	Malformed      int  // lines that were none of the known forms, or named an unknown module
	FirstMalformed Line // the first of them, when there are any
	NoSpace        bool // there were addresses without any address space: printed raw
}

// Line is a line of the input for an error message.
type Line struct {
	Number int    // from 1
	Text   string // its beginning, unescaped
}

const (
	defaultWorkers = 16       // upper bound: beyond it, reading and writing are what takes the time
	defaultChunk   = 64 << 10 // what a pipe holds
	defaultFlush   = 128 << 10
	defaultMaxLine = 1 << 20 // longer lines pass through unparsed

	// Maps and build-id lines of one report have to be kept. A process with
	// a million mappings needs about 150 MB.
	defaultMaxHead = 256 << 20

	defaultBulk = 24 << 20 // a million addresses

	excerptLen = 80
)

// limits are the sizes that tests make small.
type limits struct {
	chunk   int // bytes read at once
	flush   int // bytes of output after which a worker hands it on
	maxLine int // bytes of a line that is parsed, without its newline
	maxHead int // bytes of maps and build-id lines of one report
	bulk    int // bytes read at once with Options.Bulk
}

// Run reads lines from r until its end and writes the answers to w, in order.
// What has been read is answered and written without waiting for more input.
//
// It returns early with the error of w or NewSpace; an error of r is returned
// after everything that was read before it is answered. When Run returns,
// neither w nor a Space is used any more, but after an early return a Read
// that is under way may still last; its bytes are lost.
func Run(r io.Reader, w io.Writer, o Options) (Result, error) {
	return run(r, w, o, limits{
		chunk: defaultChunk, flush: defaultFlush, maxLine: defaultMaxLine, maxHead: defaultMaxHead, bulk: defaultBulk,
	})
}

func run(r io.Reader, w io.Writer, o Options, lim limits) (Result, error) {
	sc := scanner{opts: &o, maxHead: lim.maxHead}
	if o.Bulk {
		if o.BulkBytes > 0 {
			lim.bulk = min(lim.bulk, o.BulkBytes)
		}
		g := gather(r, lim.bulk)
		defer g.close()
		r, o.Workers = g, 1
		lim.chunk, lim.maxLine = lim.bulk, max(lim.bulk, lim.maxLine)
	}
	return pump(r, w, work{
		scan:   sc.scan,
		worker: func() worker { return &answerer{opts: &o} },
	}, o.Workers, lim)
}

func write(w io.Writer, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// summary adds up the tallies of chunks in the order of the input.
type summary struct {
	Result
	lines int
}

func (s *summary) add(t *tally) {
	if t.malformed > 0 && s.Malformed == 0 {
		s.FirstMalformed = Line{Number: s.lines + t.firstLine + 1, Text: t.firstText}
	}
	s.Malformed += t.malformed
	s.NoSpace = s.NoSpace || t.noSpace
	s.lines += t.lines
}
