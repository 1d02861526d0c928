package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zlib"

	"github.com/gatedso/bt/internal/guard"
)

// Section is a section's address, its size in memory, and its bytes: in place,
// or a decompressed copy that the Image owns. Data is nil for SHT_NOBITS, and
// shorter than Size where the file is truncated.
type Section struct {
	Addr, Size uint64
	Data       []byte
}

// What decompression may yield. zlib's best ratio is 1032; zstd can do better on
// nothing but zeros. .debug_frame, which an unwinder reads whether the user wants
// DWARF or not, has some 10 MB in the largest programs.
const (
	maxInflated  = 1 << 30
	maxFrame     = 128 << 20
	inflateRatio = 1100
)

// Section returns the first section of that name. A compressed one (.debug_X
// with SHF_COMPRESSED, or .zdebug_X asked for as .debug_X) is decompressed once
// and kept until the Image is dropped. It reports false when there is no such
// section, or when its compressed bytes are broken or yield too much, or are of
// a section that nobody compresses. The debug sections of a file that is not linked
// (ET_REL) have their relocations applied.
func (im *Image) Section(name string) (sec Section, ok bool) {
	guard.Read(func() error {
		s := im.section(name)
		if rest, isDebug := strings.CutPrefix(name, ".debug_"); s == nil && isDebug {
			s = im.section(".zdebug_" + rest)
		}
		if s == nil {
			return nil
		}
		if sec, ok = im.contents(s); ok {
			sec.Data = im.relocated(s, sec.Data)
		}
		return nil
	})
	return sec, ok
}

// SectionSize returns the size of a section once it is decompressed, which it
// need not be for this. It finds .zdebug_X as .debug_X, like Section, with the
// compressed size. A section that the file has no bytes of has size 0.
func (im *Image) SectionSize(name string) (size uint64, ok bool) {
	s := im.section(name)
	if s == nil {
		if rest, isDebug := strings.CutPrefix(name, ".debug_"); isDebug {
			s = im.section(".zdebug_" + rest)
		}
	}
	switch {
	case s == nil:
		return 0, false
	case s.Type == elf.SHT_NOBITS:
		return 0, true
	}
	return s.Size, true
}

// InflatedSize returns the size of a section once it is decompressed, in bytes, 0
// for one that is not compressed, or not there. It finds names as Section does.
func (im *Image) InflatedSize(name string) (size uint64) {
	s := im.section(name)
	if s != nil {
		if s.Flags&elf.SHF_COMPRESSED == 0 {
			return 0
		}
		return min(s.Size, maxInflated)
	}
	rest, isDebug := strings.CutPrefix(name, ".debug_")
	if !isDebug {
		return 0
	}
	if s = im.section(".zdebug_" + rest); s == nil {
		return 0
	}
	guard.Read(func() error {
		if raw := im.clip(s.Offset, s.FileSize); len(raw) >= 12 {
			size = binary.BigEndian.Uint64(raw[4:])
		}
		return nil
	})
	return min(size, maxInflated)
}

func (im *Image) section(name string) *elf.Section {
	for _, s := range im.secs {
		if s.Name == name && s.Type != elf.SHT_NULL {
			return s
		}
	}
	return nil
}

func (im *Image) contents(s *elf.Section) (Section, bool) {
	if s.Type == elf.SHT_NOBITS {
		return Section{Addr: s.Addr, Size: s.Size}, true
	}
	raw := im.clip(s.Offset, s.FileSize)
	zdebug := strings.HasPrefix(s.Name, ".zdebug_")
	if s.Flags&elf.SHF_COMPRESSED == 0 && !zdebug {
		return Section{Addr: s.Addr, Size: s.Size, Data: raw}, true
	}
	// Tools compress the DWARF sections and nothing else; a name of a debug file
	// or a symbol table that takes a gigabyte is an attack.
	if !zdebug && !strings.HasPrefix(s.Name, ".debug_") {
		return Section{}, false
	}
	// Sections that are asked for at the same time are decompressed side by side.
	im.inflateMu.Lock()
	c := im.inflated[s.Name]
	if c == nil {
		if im.inflated == nil {
			im.inflated = map[string]*inflated{}
		}
		c = new(inflated)
		im.inflated[s.Name] = c
	}
	im.inflateMu.Unlock()
	c.once.Do(func() {
		if data, err := im.inflateSection(s, raw, zdebug); err == nil {
			c.sec = Section{Addr: s.Addr, Size: uint64(len(data)), Data: data}
		}
	})
	return c.sec, c.sec.Data != nil
}

// inflated is a section that is decompressed once. Its Data is nil when that
// failed.
type inflated struct {
	once sync.Once
	sec  Section
}

func (im *Image) inflateSection(s *elf.Section, raw []byte, zdebug bool) (data []byte, err error) {
	limit := uint64(maxInflated)
	if strings.HasSuffix(s.Name, "debug_frame") {
		limit = maxFrame
	}
	if stream, size, ok := im.zlibStream(s, raw, zdebug); ok {
		err := guard.Library(func() error {
			r, err := zlib.NewReader(bytes.NewReader(stream))
			if err != nil {
				return err
			}
			data, err = decompress(r, size, uint64(len(raw)), limit)
			return err
		})
		return data, err
	}
	if zdebug {
		return nil, errors.New("no ZLIB header")
	}
	err = guard.Library(func() (err error) {
		data, err = decompress(s.Open(), s.Size, uint64(len(raw)), limit) // zstd
		return err
	})
	return data, err
}

// zlibStream returns the zlib stream of a section, and how many bytes it is said to
// yield. It reports false where the section is compressed otherwise. The format that came
// before SHF_COMPRESSED has "ZLIB" and the size as 8 bytes in big-endian order.
func (im *Image) zlibStream(s *elf.Section, raw []byte, zdebug bool) (stream []byte, size uint64, ok bool) {
	if zdebug {
		if len(raw) < 12 || string(raw[:4]) != "ZLIB" {
			return nil, 0, false
		}
		return raw[12:], binary.BigEndian.Uint64(raw[4:]), true
	}
	header := 24 // Elf64_Chdr
	if im.Class == elf.ELFCLASS32 {
		header = 12
	}
	if len(raw) < header || elf.CompressionType(im.Order.Uint32(raw)) != elf.COMPRESS_ZLIB {
		return nil, 0, false
	}
	return raw[header:], s.Size, true
}

// mayYield returns an error where so many packed bytes cannot yield size, or where that
// is more than limit.
func mayYield(size, packed, limit uint64) error {
	if size == 0 || size > limit || size > packed*inflateRatio {
		return fmt.Errorf("%d compressed bytes cannot yield %d", packed, size)
	}
	return nil
}

// decompress reads exactly size bytes that packed bytes are said to yield. The
// buffer grows with what really comes, as the size may lie.
func decompress(r io.Reader, size, packed, limit uint64) ([]byte, error) {
	if err := mayYield(size, packed, limit); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(min(size, packed*4)))
	if n, err := io.Copy(&b, io.LimitReader(r, int64(size))); err != nil {
		return nil, err
	} else if uint64(n) != size {
		return nil, io.ErrUnexpectedEOF
	}
	return b.Bytes(), nil
}
