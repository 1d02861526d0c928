package golang

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
)

// The build information that Go's linker writes (debug/buildinfo): a magic, the size
// of a pointer, flags, and since Go 1.18 the version as a string at byte 32, after its
// length as a varint.
const (
	infoMagic  = "\xff Go buildinf:"
	infoFlags  = 15
	infoInline = 2 // flag: the string is there
	infoString = 32

	maxVersion    = 256
	maxInfoSearch = 1 << 20 // bytes of a segment
)

// goVersion returns the version of Go that has made an image, also a stripped one;
// empty where the image does not tell.
func goVersion(im *image.Image) (version string) {
	guard.Read(func() error {
		if s, ok := im.Section(".go.buildinfo"); ok {
			version = infoVersion(s.Data)
			return nil
		}
		for _, s := range im.Segments() {
			if s.Flags&elf.PF_X != 0 {
				continue
			}
			data := im.Bytes(s.Vaddr, maxInfoSearch)
			if i := bytes.Index(data, []byte(infoMagic)); i >= 0 {
				if version = infoVersion(data[i:]); version != "" {
					return nil
				}
			}
		}
		return nil
	})
	return version
}

// infoVersion reads the version from build information.
func infoVersion(b []byte) string {
	if len(b) < infoString || !bytes.HasPrefix(b, []byte(infoMagic)) || b[infoFlags]&infoInline == 0 {
		return ""
	}
	n, size := binary.Uvarint(b[infoString:])
	if size <= 0 || n > maxVersion || n > uint64(len(b)-infoString-size) {
		return ""
	}
	return string(b[infoString+size:][:n])
}
