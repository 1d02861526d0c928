package debugfile

import (
	"bytes"
	"strings"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
)

// Debuglink is what a .gnu_debuglink section says: the file name of the debug
// file and the CRC-32 (that of zlib) of its contents.
type Debuglink struct {
	Name string
	CRC  uint32
}

// ReadDebuglink reads the debuglink of im. It reports false where there is none
// or where it is malformed; a name that is a path is malformed, as it could
// lead anywhere.
func ReadDebuglink(im *elfsym.Image) (link Debuglink, ok bool) {
	sec, ok := im.Section(".gnu_debuglink")
	if !ok {
		return Debuglink{}, false
	}
	err := guard.Read(func() error {
		link, ok = parseDebuglink(sec.Data, im.Order.Uint32)
		return nil
	})
	return link, ok && err == nil
}

// maxName is the length of the longest file name (NAME_MAX).
const maxName = 255

// parseDebuglink reads a name that ends with a 0 byte, padding to a multiple of
// 4, and the CRC in the file's byte order.
func parseDebuglink(data []byte, uint32At func([]byte) uint32) (Debuglink, bool) {
	n := bytes.IndexByte(data[:min(len(data), maxName+1)], 0)
	if n <= 0 {
		return Debuglink{}, false
	}
	name := string(data[:n])
	crc := (n + 1 + 3) &^ 3
	if name == "." || name == ".." || strings.Contains(name, "/") || len(data) < crc+4 {
		return Debuglink{}, false
	}
	return Debuglink{Name: name, CRC: uint32At(data[crc:])}, true
}
