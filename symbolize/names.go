package symbolize

import (
	"strings"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"github.com/ianlancetaylor/demangle"

	"github.com/gatedso/bt/elfsym"
)

// Demangle says what becomes of mangled C++ and Rust names.
type Demangle uint8

const (
	Full  Demangle = iota // with parameters
	Short                 // without parameters
	None                  // left as they are
)

// maxMangled and maxDemangled bound demangling, in bytes and as a power of two:
// a few bytes of a hostile name can stand for gigabytes.
const (
	maxMangled   = 16 << 10
	maxDemangled = 16
)

// name makes a symbol's name fit to show: demangled, and clean.
func (d Demangle) name(raw string) string {
	if d == None || !mangled(raw) || len(raw) > maxMangled {
		return clean(raw)
	}
	opts := []demangle.Option{demangle.MaxLength(maxDemangled)}
	if d == Short {
		opts = append(opts, demangle.NoParams)
	}
	name, err := demangle.ToString(raw, opts...)
	if err != nil || len(name) >= 1<<maxDemangled {
		return clean(raw)
	}
	return clean(name)
}

// mangled reports whether name looks like a C++ or Rust name at all.
func mangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") || strings.HasPrefix(name, "__Z") ||
		strings.HasPrefix(name, "___Z") || strings.HasPrefix(name, "_GLOBAL_")
}

// clean escapes what could drive a terminal: control characters, C1 ones and
// bytes that are no UTF-8 included, and the backslash that escapes are made
// with. It returns s itself where nothing has to be escaped.
func clean(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '\\' {
			return Escape(s)
		}
	}
	return s
}

// Escape returns s with everything that could drive a terminal as \xNN, and a
// backslash doubled.
func Escape(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError && n == 1, bidi(r):
			for i := range n {
				b.WriteString(`\x`)
				b.WriteByte(hex[s[i]>>4])
				b.WriteByte(hex[s[i]&15])
			}
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// EscapeControls is Escape for text that bt composed itself: backslashes stay,
// only what could drive a terminal is escaped.
func EscapeControls(s string) string {
	return strings.ReplaceAll(Escape(s), `\\`, `\`)
}

// bidi reports whether r reorders or splits the text around it: a name must
// not be able to make a line read as another one.
func bidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 || r == 0x200e || r == 0x200f
}

// names remembers the names of an image's symbols as they are shown: one is
// demangled once, however often it is asked for.
type names struct {
	im       *elfsym.Image
	demangle Demangle
	shown    []atomic.Pointer[string] // by reference
}

func newNames(im *elfsym.Image, d Demangle) *names {
	return &names{im: im, demangle: d, shown: make([]atomic.Pointer[string], im.NumSymbols())}
}

// get returns the shown name of a symbol.
func (n *names) get(ref elfsym.Ref) string {
	if int(ref) >= len(n.shown) {
		return ""
	}
	if s := n.shown[ref].Load(); s != nil {
		return *s
	}
	raw := n.im.NameBytes(ref)
	if len(raw) == 0 {
		return ""
	}
	// The name itself stays where it is, in the mapped file: images are
	// never closed while a symbolizer uses them.
	s := n.demangle.name(unsafe.String(&raw[0], len(raw)))
	n.shown[ref].Store(&s)
	return s
}
