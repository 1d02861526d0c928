// Package text prints stacks as text for people, which bt reads again. The form is a
// contract: a frame's first two fields are its address and <symbol+0xoffset>, and
// every line that is no frame starts with '#'.
package text

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// Options says what a frame's line shows.
type Options struct {
	Raw       bool // the address alone
	Module    bool
	BuildID   bool
	Source    bool // the place in the source
	Inlines   bool // inlined calls, as lines of their own
	Basenames bool // of source files the last part of the path
	Color     bool
	Fold      bool // frames that recur, more than 16 times, once
	Group     bool // stacks that are alike once, with whose they are
	Brief     bool // no frames that are a language runtime's own
	Verbose   bool // also the tasks that a runtime has started for itself

	first bool // the next frame of own code is the first one of its stack
}

// The colours of a terminal, chosen to be legible on light and dark grounds.
const (
	dim     = "\x1b[2m"
	green   = "\x1b[32m"
	bold    = "\x1b[1;32m" // green, too
	cyan    = "\x1b[36m"
	magenta = "\x1b[35m"
	reset   = "\x1b[0m"
)

// colour is that of the name n of f: own code green, and the first function of it in a
// stack bold; libraries cyan; a language runtime's own code dim; the kernel's magenta.
func (o *Options) colour(f *stack.Frame, n *stack.Name) string {
	switch {
	case f.Module != nil && strings.HasPrefix(f.Module.Path, "["):
		return magenta
	case f.Runtime && n.Language == "":
		return dim
	case render.IsLibrary(f, n):
		return cyan
	case o.first:
		o.first = false
		return bold
	}
	return green
}

// AppendFrames appends the lines of frames in their order, at least those of the
// first one, until dst has limit bytes. It returns how many frames it has taken.
func (o *Options) AppendFrames(dst []byte, frames []stack.Frame, wordSize, limit int) (out []byte, n int) {
	bare := !o.Raw && !o.Module && !o.BuildID && !o.Source && !o.Inlines && !o.Color
	for n < len(frames) {
		if f := &frames[n]; !bare || len(f.Names) != 1 || !f.Names[0].Plain || f.Names[0].Symbol == "" || f.Names[0].Language != "" || f.Names[0].Inlined {
			dst = o.AppendFrame(dst, f, wordSize)
		} else {
			dst = appendBare(dst, f, wordSize)
		}
		if n++; len(dst) >= limit {
			break
		}
	}
	return dst, n
}

// appendBare is AppendFrame without options for a frame with one name, in which
// nothing has to be escaped: the line of nearly all of millions of addresses.
func appendBare(dst []byte, f *stack.Frame, wordSize int) []byte {
	name := &f.Names[0]
	dst = render.AppendAddr(dst, f.PC, wordSize)
	dst = append(dst, " <"...)
	dst = append(dst, name.Symbol...)
	dst = append(dst, "+0x"...)
	dst = render.AppendHex(dst, name.Offset)
	return append(dst, ">\n"...)
}

// AppendFrame appends a frame's line, after those of the calls that are inlined
// there and of the frames of a language runtime that it runs.
func (o *Options) AppendFrame(dst []byte, f *stack.Frame, wordSize int) []byte {
	if !o.Raw {
		calls := f.Calls()
		for i := range calls {
			if n := &calls[i]; n.Language != "" || o.Inlines {
				dst = o.appendCall(render.AppendAddr(dst, f.PC, wordSize), f, n)
				dst = o.appendExcerpt(dst, n.Excerpt)
			}
		}
		if (o.Brief || f.Managed) && hasLanguage(calls) {
			return dst
		}
	}
	dst = render.AppendAddr(dst, f.PC, wordSize)
	if !o.Raw {
		dst = o.appendName(dst, f, o.Inlines)
	}
	dst = append(dst, '\n')
	if n := o.place(f); n != nil && !o.Raw {
		dst = o.appendExcerpt(dst, n.Excerpt)
	}
	return dst
}

// place returns the name of f whose place the frame's own line has.
func (o *Options) place(f *stack.Frame) *stack.Name {
	if o.Inlines {
		return f.Function()
	}
	return innermost(f)
}

func hasLanguage(names []stack.Name) bool {
	return slices.ContainsFunc(names, func(n stack.Name) bool { return n.Language != "" })
}

// AppendName appends what stands behind the address of a frame's line: the name of
// the function and the columns, each after a blank.
func (o *Options) AppendName(dst []byte, f *stack.Frame) []byte {
	return o.appendName(dst, f, false)
}

// AppendNames is AppendName for an address within a line of other text: the calls that
// are inlined there come before the function, on the same line.
func (o *Options) AppendNames(dst []byte, f *stack.Frame) []byte {
	if !o.Inlines {
		return o.appendName(dst, f, false)
	}
	for i := 0; i < len(f.Names)-1; i++ {
		if n := &f.Names[i]; n.Inlined {
			dst = o.appendCall(dst, f, n)
			dst = dst[:len(dst)-1] // the line goes on
		}
	}
	return o.appendName(dst, f, true)
}

// appendName is AppendName; inlines tells that inlined calls have lines of their
// own.
func (o *Options) appendName(dst []byte, f *stack.Frame, inlines bool) []byte {
	n := f.Function()
	if n != nil && n.Symbol != "" {
		dst = o.appendSymbol(dst, f, n)
		dst = append(dst, "+0x"...)
		dst = render.AppendHex(dst, n.Offset)
		dst = append(dst, '>')
	}
	if m := f.Module; m != nil && (o.Module || o.BuildID) {
		dst = o.appendModule(dst, f, n != nil && n.Symbol != "")
	}
	if o.Source && n != nil {
		if !inlines {
			n = innermost(f)
		}
		dst = o.appendPlace(dst, n)
	}
	return dst
}

// innermost returns the name of f that has the place of its address.
func innermost(f *stack.Frame) *stack.Name {
	for i := range f.Names {
		if f.Names[i].Language == "" {
			return &f.Names[i]
		}
	}
	return f.Function()
}

// appendCall appends the rest of the line of a call that has no code of its own.
func (o *Options) appendCall(dst []byte, f *stack.Frame, n *stack.Name) []byte {
	dst = append(o.appendSymbol(dst, f, n), '>')
	if n.Language != "" {
		dst = o.appendPlace(dst, n)
		dst = append(dst, " ("...)
		dst = append(dst, n.Language...)
		return append(dst, ")\n"...)
	}
	return append(o.appendPlace(dst, n), " (inlined)\n"...)
}

// appendSymbol appends the name without its offset and the closing bracket.
func (o *Options) appendSymbol(dst []byte, f *stack.Frame, n *stack.Name) []byte {
	dst = append(dst, " <"...)
	name := n.Symbol
	if name == "" {
		name = "?" // an inlined function whose name is not known
	}
	if o.Color {
		dst = append(dst, o.colour(f, n)...)
	}
	if n.Plain {
		dst = append(dst, name...)
	} else {
		dst = escape.AppendName(dst, name)
	}
	if !o.Color {
		return dst
	}
	return append(dst, reset...)
}

// appendModule appends the columns of the module; named tells that there is a
// symbol.
func (o *Options) appendModule(dst []byte, f *stack.Frame, named bool) []byte {
	switch m := f.Module; {
	case !o.Module:
	case named:
		dst = append(dst, ' ')
		dst = escape.AppendName(dst, m.Path)
	default:
		dst = append(dst, " ("...)
		dst = escape.AppendName(dst, path.Base(m.Path))
		dst = append(dst, "+0x"...)
		dst = render.AppendHex(dst, f.ModuleOffset)
		dst = append(dst, ')')
	}
	if o.BuildID && f.Module.BuildID != "" {
		dst = append(dst, " ["...)
		dst = append(dst, f.Module.BuildID...)
		dst = append(dst, ']')
	}
	return dst
}

// appendPlace appends FILE:LINE:COLUMN, without the column where there is none,
// and FILE:? for code that belongs to no line.
func (o *Options) appendPlace(dst []byte, n *stack.Name) []byte {
	if n.File == "" {
		return dst
	}
	file := n.File
	if o.Basenames {
		file = path.Base(file)
	}
	dst = append(dst, ' ')
	if n.PlainFile {
		dst = append(dst, file...)
	} else {
		dst = escape.AppendName(dst, file)
	}
	dst = append(dst, ':')
	if n.Line == 0 {
		return append(dst, '?')
	}
	dst = strconv.AppendInt(dst, int64(n.Line), 10)
	if n.Column != 0 {
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, int64(n.Column), 10)
	}
	return dst
}

// AppendComment appends a line that is no frame.
func (o *Options) AppendComment(dst []byte, text string) []byte {
	if o.Color {
		dst = append(dst, dim...)
	}
	dst = append(dst, "# "...)
	dst = append(dst, text...)
	if o.Color {
		dst = append(dst, reset...)
	}
	return append(dst, '\n')
}
