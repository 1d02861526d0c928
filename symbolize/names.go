package symbolize

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/ianlancetaylor/demangle"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/escape"
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

// name makes a symbol's name fit to show: demangled, and escaped.
func (d Demangle) name(raw string) string {
	if d == None || !looksMangled(raw) || len(raw) > maxMangled || hard(raw) {
		return escape.Name(raw)
	}
	name, ok := d.demangled(raw)
	if !ok || name == "" || len(name) >= 1<<maxDemangled {
		return escape.Name(raw)
	}
	return escape.Name(withClones(name, raw))
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

// names remembers the names of an image's symbols as they are shown: one is
// demangled once, however often it is asked for. A name is remembered in eight
// bytes, so that a million lookups touch as little memory as can be.
type names struct {
	im       *elfsym.Image
	demangle Demangle
	versions bool
	data     []byte          // the image's bytes, where names that are shown as they are stay
	shown    []atomic.Uint64 // by reference: 0, or where the name is, and sizeless

	mu     sync.Mutex
	chunks atomic.Pointer[[][]byte] // other names; the last chunk is being filled
}

// Where a name is: its length in the low 16 bits; above, its offset in data if
// inData is set, else its chunk and its offset there. sizeless is set for a
// symbol without a size.
const (
	inData    = 1 << 63
	sizeless  = 1 << 62
	lenBits   = 16
	chunkBits = 20
	maxShown  = 1<<lenBits - 1
)

func newNames(im *elfsym.Image, o *Options) *names {
	return &names{im: im, demangle: o.Demangle, versions: o.Versions, data: im.Data(), shown: make([]atomic.Uint64, im.NumSymbols())}
}

// get returns the shown name of a symbol, and whether it has no size. The name
// may be a part of the mapped file, which stays as long as its symbolizer does:
// images are not closed before.
func (n *names) get(ref elfsym.Ref) (name string, noSize bool) {
	if int(ref) >= len(n.shown) {
		return "", false
	}
	v := n.shown[ref].Load()
	if v == 0 {
		return n.add(ref)
	}
	return view(n.at(v)), v&sizeless != 0
}

// at returns the name that an entry of shown stands for.
func (n *names) at(v uint64) []byte {
	size := v & maxShown
	at := v &^ (inData | sizeless) >> lenBits
	if v&inData != 0 {
		return n.data[at : at+size]
	}
	chunk, off := at>>chunkBits, at&(1<<chunkBits-1)
	return (*n.chunks.Load())[chunk][off : off+size]
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// shownAs makes the shown name of a symbol from its raw one.
func (n *names) shownAs(raw string, ref elfsym.Ref) string {
	name := n.demangle.name(raw)
	if n.versions {
		name += escape.Name(n.im.Version(ref))
	}
	return name
}

// add makes a symbol's name and remembers it.
func (n *names) add(ref elfsym.Ref) (name string, noSize bool) {
	raw := n.im.NameBytes(ref)
	if len(raw) == 0 {
		return "", false
	}
	flags := uint64(0)
	if noSize = n.im.Sizeless(ref); noSize {
		flags = sizeless
	}
	name = n.shownAs(view(raw), ref)
	if len(name) > maxShown {
		return name, noSize
	}
	if unsafe.StringData(name) == &raw[0] {
		if at := uintptr(unsafe.Pointer(&raw[0])) - uintptr(unsafe.Pointer(&n.data[0])); at < uintptr(len(n.data)) {
			n.shown[ref].Store(flags | inData | uint64(at)<<lenBits | uint64(len(name)))
			return name, noSize
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var chunks [][]byte
	if c := n.chunks.Load(); c != nil {
		chunks = *c
	}
	last := len(chunks) - 1
	if last < 0 || len(chunks[last])+len(name) > 1<<chunkBits {
		chunks = append(slices.Clone(chunks), make([]byte, 0, 1<<chunkBits))
		last++
	} else {
		chunks = slices.Clone(chunks)
	}
	off := len(chunks[last])
	chunks[last] = append(chunks[last], name...)
	n.chunks.Store(&chunks)
	n.shown[ref].Store(flags | (uint64(last)<<chunkBits|uint64(off))<<lenBits | uint64(len(name)))
	return view(chunks[last][off:]), noSize
}
