//go:build unix

package symbolize

import "strings"

// withClones adds to a demangled name the suffixes that compilers gave the mangled
// one, .cold and .part.0, as the C++ demangler shows them: it leaves them out
// where it leaves out parameters, and of Rust names always. They are a part of the
// name: code far from its function. Not so ".llvm.123", which only keeps local
// names of different files apart.
func withClones(name, raw string) string {
	suffix := cloneSuffix(raw)
	if suffix == "" || strings.Contains(name, " [clone ") || strings.HasPrefix(raw, "_GLOBAL_") { // …_I_file.cc
		return name
	}
	var b strings.Builder
	b.WriteString(name)
	for suffix != "" {
		// One suffix is a word and the numbers behind it, or numbers alone.
		end := 1
		for end < len(suffix) && (suffix[end] != '.' || end+1 < len(suffix) && digit(suffix[end+1])) {
			end++
		}
		if !strings.HasPrefix(suffix, ".llvm.") {
			b.WriteString(" [clone ")
			b.WriteString(suffix[:end])
			b.WriteByte(']')
		}
		suffix = suffix[end:]
	}
	return b.String()
}

// cloneSuffix returns the end of a mangled name that consists of points, each with
// lower-case letters, digits and underscores behind it.
func cloneSuffix(raw string) string {
	start := len(raw)
	for i := len(raw) - 1; i > 0; i-- {
		switch c := raw[i]; {
		case c == '.':
			if i+1 == start || i+1 == len(raw) {
				return ""
			}
			start = i
		case c >= 'a' && c <= 'z', digit(c), c == '_':
		default:
			return raw[start:]
		}
	}
	return raw[start:]
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
