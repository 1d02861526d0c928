package v8

import (
	"encoding/binary"
	"fmt"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
)

// engine is the module that V8 is in: the program itself, or a library.
type engine struct {
	module  *image.Module
	image   *image.Image
	version version
}

// version is a version of V8: the first two numbers decide how it is laid out.
type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

// minCode is less than any V8 has of code, in bytes: what maps less is not searched.
const minCode = 4 << 20

// v8::internal::Version::major_ and minor_, which V8 exports.
const (
	majorSymbol = "_ZN2v88internal7Version6major_E"
	minorSymbol = "_ZN2v88internal7Version6minor_E"
)

// locate looks for V8.
func locate(space *image.Space) *engine {
	code := make(map[string]uint64) // bytes of code, by path
	for i := range space.Maps.Entries {
		if e := &space.Maps.Entries[i]; e.IsFile() && e.Perm&maps.Exec != 0 {
			code[e.Path] += e.End - e.Start
		}
	}
	for _, m := range space.Modules() {
		if m.Gate != maps.NoGate || !m.HasCode() || code[m.Path] < minCode {
			continue
		}
		im, err := m.Image()
		if err != nil {
			continue
		}
		in := &engine{module: m, image: im}
		major, ok1 := im.Exported(majorSymbol)
		minor, ok2 := im.Exported(minorSymbol)
		if !ok1 || !ok2 {
			continue
		}
		a, ok1 := in.number(major)
		b, ok2 := in.number(minor)
		if !ok1 || !ok2 || a > 1000 || b > 1000 {
			continue
		}
		in.version = version{int(a), int(b)}
		return in
	}
	return nil
}

// number reads an int that the file holds at a link-time address. What the program only
// makes room for is zero.
func (in *engine) number(link uint64) (v uint32, ok bool) {
	guard.Read(func() error {
		b := in.image.Bytes(link, 4)
		if len(b) == 4 {
			v = in.image.Order.Uint32(b)
		}
		ok = true
		return nil
	})
	return v, ok
}

// bytes reads n bytes of the file at a link-time address.
func (in *engine) bytes(link uint64, n int) (b []byte) {
	guard.Read(func() error {
		b = append(b, in.image.Bytes(link, n)...)
		return nil
	})
	return b
}

// layout finds how this V8 is laid out.
func (in *engine) layout() (*layout, error) {
	if in.image.Order != binary.LittleEndian || in.image.Arch() == nil {
		return nil, fmt.Errorf("bt does not read it on this CPU")
	}
	return newLayout(in.version, func(name string) (uint32, bool) {
		link, ok := in.image.Exported("v8dbg_" + name)
		if !ok {
			return 0, false
		}
		return in.number(link)
	})
}
