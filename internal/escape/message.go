package escape

import (
	"fmt"
	"strings"
)

// Sprintf is fmt.Sprintf for a message of one line: Text of it, with errors in args
// as Error has them.
func Sprintf(format string, args ...any) string {
	out := make([]any, len(args))
	for i, arg := range args {
		if err, ok := arg.(error); ok && err != nil {
			arg = Error(err)
		}
		out[i] = arg
	}
	return Text(fmt.Sprintf(format, out...))
}

// Error is the text of err, with "; " between errors that errors.Join has joined
// with newlines. It is not escaped. A newline in a name stays one.
func Error(err error) string {
	text := err.Error()
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if in := e.Unwrap(); in != nil {
			text = replace(text, in)
		}
	case interface{ Unwrap() []error }:
		var raw, lines []string
		for _, in := range e.Unwrap() {
			raw, lines = append(raw, in.Error()), append(lines, Error(in))
		}
		if text == strings.Join(raw, "\n") {
			return strings.Join(lines, "; ")
		}
		for _, in := range e.Unwrap() {
			text = replace(text, in)
		}
	}
	return text
}

// replace puts Error(in) in place of the text of in, a part of text.
func replace(text string, in error) string {
	if raw := in.Error(); strings.Contains(raw, "\n") {
		return strings.Replace(text, raw, Error(in), 1)
	}
	return text
}
