package debugfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mikelolasagasti/xz"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
)

// What decompressing .gnu_debugdata may take. The symbol table of a large
// library (50 MB of text) is about 10 MiB; symbol tables shrink to a fifth or a
// tenth, and xz -9 has a dictionary of 64 MiB, whatever the size of its input.
const (
	maxMini      = 64 << 20 // bytes of output
	maxMiniDict  = 64 << 20
	maxMiniRatio = 256
	minMini      = 64 << 10 // output that is allowed whatever the ratio
)

// MiniDebug returns the image in im's .gnu_debugdata section: the functions
// that .dynsym does not have, in the .symtab of an ELF file compressed by xz.
// It returns nil and no error where there is no such section. The returned
// image does not need im, and holds its memory until it is dropped.
func MiniDebug(im *elfsym.Image) (*elfsym.Image, error) {
	sec, ok := im.Section(".gnu_debugdata")
	if !ok || len(sec.Data) == 0 {
		return nil, nil
	}
	name := im.Name + " (.gnu_debugdata)"
	var data []byte
	err := guard.Read(func() error {
		return guard.Library(func() (err error) {
			data, err = unxz(sec.Data)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	mini, err := elfsym.New(data, name)
	if err != nil {
		return nil, err
	}
	if _, err := Shift(im, mini); err != nil {
		return nil, err
	}
	return mini, nil
}

// MiniDebug is the function of that name; what its error says goes to f.Note.
// f may be nil.
func (f *Finder) MiniDebug(im *elfsym.Image) *elfsym.Image {
	mini, err := MiniDebug(im)
	if err != nil && f != nil {
		f.note("%v", err)
	}
	return mini
}

var (
	errBomb    = errors.New("decompresses to too much")
	errStreams = errors.New("has too many streams")
)

// maxStreams bounds the streams of one section, each of which costs a decoder.
// Linkers write one.
const maxStreams = 256

// unxz decompresses within the limits above.
func unxz(packed []byte) (data []byte, err error) {
	limit := min(maxMini, max(minMini, maxMiniRatio*int64(len(packed))))
	r, err := xz.NewReader(bytes.NewReader(packed), maxMiniDict)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(int(min(limit, 4*int64(len(packed)))) + bytes.MinRead)
	for range maxStreams {
		r.Multistream(false)
		if _, err := io.Copy(&out, io.LimitReader(r, limit+1-int64(out.Len()))); err != nil {
			return nil, err
		}
		if int64(out.Len()) > limit {
			return nil, errBomb
		}
		switch err := r.Reset(nil); err {
		case nil: // another stream follows
		case io.EOF:
			return out.Bytes(), nil
		default:
			return nil, err
		}
	}
	return nil, errStreams
}
