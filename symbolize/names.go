package symbolize

import (
	"strings"

	"github.com/ianlancetaylor/demangle"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/names/mangled"
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
	maxMangled   = 8 << 10
	maxDemangled = 16
)

// maxWork bounds the estimate of hard: a second or two at worst. Of the names
// in libLLVM's symbol table none comes near.
const maxWork = 1 << 34

// hard reports whether demangling a name may take long. Expanding parameter
// packs and chains of constructors takes the demangler a time that is cubic in
// the name's length, the former about 1000 times that of the latter.
func hard(raw string) bool {
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
	return work*uint64(len(raw))*uint64(len(raw)) > maxWork
}

// name makes a symbol's name fit to show: demangled.
func (d Demangle) name(raw string) string {
	if d == None || !looksMangled(raw) || len(raw) > maxMangled || hard(raw) {
		return raw
	}
	name, ok := d.demangled(raw)
	if !ok || name == "" || len(name) >= 1<<maxDemangled {
		return raw
	}
	return withClones(name, raw)
}

func (d Demangle) demangled(raw string) (name string, ok bool) {
	if name, ok := mangled.Rust(raw); ok {
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

// looksMangled reports whether name looks like a C++ or Rust name at all.
func looksMangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") || strings.HasPrefix(name, "__Z") ||
		strings.HasPrefix(name, "___Z") || strings.HasPrefix(name, "_GLOBAL_")
}
