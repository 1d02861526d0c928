package text

import (
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/stack"
)

// tab is the width of a tabulator in source text.
const tab = 8

// appendExcerpt appends the lines of an excerpt, as comments: their numbers, and a
// mark at the place's own. Where the place is printed nowhere else it comes first.
func (o *Options) appendExcerpt(dst []byte, e *stack.Excerpt) []byte {
	if e == nil || len(e.Lines) == 0 {
		return dst
	}
	if !o.Source {
		dst = o.AppendComment(dst, string(o.appendPlace(nil, &stack.Name{File: e.File, Line: e.Line})[1:]))
	}
	width := max(4, len(strconv.Itoa(e.First+len(e.Lines)-1)))
	for i, line := range e.Lines {
		n := e.First + i
		mark := "  "
		if n == e.Line {
			mark = "> "
		}
		number := strconv.Itoa(n)
		text := mark + strings.Repeat(" ", width-len(number)) + number + " | " + expand(line)
		dst = o.AppendComment(dst, strings.TrimRight(text, " "))
	}
	return dst
}

// expand replaces tabulators by blanks, and makes the rest harmless.
func expand(line string) string {
	if escape.Plain(line) && !strings.Contains(line, "\t") {
		return line
	}
	var b strings.Builder
	column := 0
	for i, part := range strings.Split(line, "\t") {
		if i > 0 {
			n := tab - column%tab
			b.WriteString(strings.Repeat(" ", n))
			column += n
		}
		part = escape.Text(part)
		b.WriteString(part)
		column += len([]rune(part))
	}
	return b.String()
}
