package elfsym

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

// A .debug_frame may be large, but not as large as other DWARF; what nobody
// compresses is not decompressed at all.
func TestInflateLimits(t *testing.T) {
	packed := func(size int) []byte {
		var b bytes.Buffer
		binary.Write(&b, binary.LittleEndian, []uint64{1, uint64(size), 1}) // Elf64_Chdr, ELFCOMPRESS_ZLIB
		w := zlib.NewWriter(&b)
		w.Write(make([]byte, size))
		w.Close()
		return b.Bytes()
	}
	large, small := packed(maxFrame+1), packed(1<<20)
	for _, test := range []struct {
		name string
		data []byte
		want bool
	}{
		{".debug_frame", small, true}, {".debug_frame", large, false}, {".debug_line", large, true},
		{".gnu_debuglink", small, false}, {".text", small, false},
	} {
		im, err := New(testelf.File{Sections: []testelf.Section{{Name: test.name, Flags: elf.SHF_COMPRESSED, Data: test.data}}}.Bytes(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := im.Section(test.name); ok != test.want {
			t.Errorf("%s of %d bytes: %v", test.name, len(test.data), ok)
		}
	}
}
