package cpython

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/maps"
)

// interpreter is the module that holds CPython: a library, or the program itself.
type interpreter struct {
	module  *image.Module
	image   *image.Image
	runtime uint64 // the address of _PyRuntime
	bias    uint64
}

// locate looks for _PyRuntime, which each CPython has from 3.7 on.
func locate(t *runtimes.Target) *interpreter {
	for _, m := range t.Space.Modules() {
		if m.Gate != maps.NoGate || !m.HasCode() {
			continue
		}
		im, err := m.Image()
		if err != nil {
			continue
		}
		link, ok := runtimeOf(im, strings.Contains(path.Base(m.Path), "python"))
		if !ok {
			continue
		}
		start, _ := m.Range()
		p := t.Space.Locate(start)
		if p.Image != im {
			continue
		}
		return &interpreter{module: m, image: im, runtime: link + p.Bias, bias: p.Bias}
	}
	return nil
}

// runtimeOf finds the link-time address of _PyRuntime: by the section that holds it
// alone from 3.11 on, or by its name, which is exported. likely has the full symbol
// table searched as well, for a program that exports nothing.
func runtimeOf(im *image.Image, likely bool) (addr uint64, ok bool) {
	if s, ok := im.Section(".PyRuntime"); ok && s.Addr != 0 {
		return s.Addr, true
	}
	if addr, ok := im.Variable("_PyRuntime", false); ok {
		return addr, true
	}
	if _, dynamic := im.Section(".dynsym"); likely || !dynamic {
		return im.Variable("_PyRuntime", true)
	}
	return 0, false
}

// versionOf finds out which CPython it is. hex is PY_VERSION_HEX, 0 where only the
// first two numbers are known.
func (in *interpreter) versionOf(mem *process.Recorder) (v version, err error) {
	var head [16]byte
	if mem.Read(in.runtime, head[:]) == len(head) && string(head[:len(debugCookie)]) == debugCookie {
		return fromHex(in.image.Order.Uint64(head[len(debugCookie):])), nil
	}
	if addr, ok := in.image.Variable("Py_Version", false); ok { // from 3.11 on
		if hex, ok := mem.Word(addr+in.bias, 8); ok {
			return fromHex(hex), nil
		}
	}
	if v, ok := in.versionText(); ok {
		return v, nil
	}
	if v, ok := versionName(in.module.Path); ok {
		return v, nil
	}
	return v, fmt.Errorf("nothing tells which version %s is", in.module.Path)
}

// fromHex is the version of a PY_VERSION_HEX: 0x030d00f0 is 3.13.
func fromHex(hex uint64) version {
	if hex>>32 != 0 {
		return version{}
	}
	return version{int(hex >> 24), int(hex >> 16 & 0xff)}
}

// versionText looks for the path of the library, lib/python3.9, which is compiled into
// the module until 3.10.
func (in *interpreter) versionText() (v version, ok bool) {
	s, found := in.image.Section(".rodata")
	if !found {
		return v, false
	}
	guard.Read(func() error {
		text := []byte("lib/python3.")
		for b := s.Data; ; {
			i := bytes.Index(b, text)
			if i < 0 {
				return nil
			}
			b = b[i+len(text):]
			n := 0
			for n < len(b) && n < 3 && b[n] >= '0' && b[n] <= '9' {
				n++
			}
			minor, err := strconv.Atoi(string(b[:n]))
			if err != nil {
				continue
			}
			if ok && v.minor != minor {
				ok = false // it speaks of others, too
				return nil
			}
			v, ok = version{3, minor}, true
		}
	})
	return v, ok
}

var versionPath = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`python(\d)\.(\d{1,2})`) })

// versionName takes the version from the file's name: libpython3.9.so.1.0, python3.9.
func versionName(file string) (v version, ok bool) {
	s := versionPath().FindStringSubmatch(path.Base(file))
	if s == nil {
		return v, false
	}
	v.major, _ = strconv.Atoi(s[1])
	v.minor, _ = strconv.Atoi(s[2])
	return v, true
}

// layoutOf finds the layout of a version.
func (in *interpreter) layoutOf(v version, mem *process.Recorder) (*layout, error) {
	switch {
	case in.image.Class != elf.ELFCLASS64:
		return nil, fmt.Errorf("bt does not read a 32-bit CPython")
	case v.major != 3 || v.minor < 8 || v.minor > 14:
		return nil, fmt.Errorf("bt reads CPython 3.8 to 3.14, and this is %v", v)
	}
	if v.minor < len(tables) {
		return tables[v.minor], nil
	}
	words := debugWords313
	if v.atLeast(14) {
		words = debugWords314
	}
	b := make([]byte, words*8)
	if n := mem.Read(in.runtime, b); n < len(b) || string(b[:len(debugCookie)]) != debugCookie {
		return nil, fmt.Errorf("_PyRuntime of CPython %v cannot be read", v)
	}
	return debugOffsets(v, b, in.image.Order)
}
