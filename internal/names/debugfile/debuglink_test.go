//go:build linux

package debugfile

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/testelf"
)

func TestReadDebuglink(t *testing.T) {
	long := strings.Repeat("n", 255)
	for _, test := range []struct {
		data string
		want Debuglink
	}{
		{"abc\x00\x01\x02\x03\x04", Debuglink{"abc", 0x01020304}},
		{"a\x00\x00\x00\x01\x02\x03\x04", Debuglink{"a", 0x01020304}},
		{"ab.debug\x00\x00\x00\x00\x01\x02\x03\x04more", Debuglink{"ab.debug", 0x01020304}},
		{"a b\x1b[m\x00\x00\x01\x02\x03\x04", Debuglink{"a b\x1b[m", 0x01020304}},
		{long + "\x00\x01\x02\x03\x04", Debuglink{long, 0x01020304}},
		{"", Debuglink{}},
		{"abc", Debuglink{}},
		{"abc\x00", Debuglink{}},
		{"abc\x00\x01\x02\x03", Debuglink{}},
		{"\x00\x00\x00\x00\x01\x02\x03\x04", Debuglink{}},
		{".\x00\x00\x00\x01\x02\x03\x04", Debuglink{}},
		{"..\x00\x00\x01\x02\x03\x04", Debuglink{}},
		{"/etc/x\x00\x00\x01\x02\x03\x04", Debuglink{}},
		{"../../x\x00\x01\x02\x03\x04", Debuglink{}},
		{long + "n\x00\x00\x00\x00\x01\x02\x03\x04", Debuglink{}},
	} {
		for _, order := range []testelf.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			im := image(t, testelf.File{Order: order, Sections: []testelf.Section{{Name: ".gnu_debuglink", Data: []byte(test.data)}}}.Bytes(), "x")
			want := test.want
			if order == binary.LittleEndian {
				var b [4]byte
				binary.BigEndian.PutUint32(b[:], want.CRC)
				want.CRC = binary.LittleEndian.Uint32(b[:])
			}
			got, ok := ReadDebuglink(im)
			if got != want || ok != (want.Name != "") {
				t.Errorf("%q, %v: %v, %v", test.data, order, got, ok)
			}
		}
	}
}

func FuzzDebuglink(f *testing.F) {
	f.Add([]byte("lib.debug\x00\x00\x00\x01\x02\x03\x04"))
	f.Add([]byte("abc\x00\x01\x02\x03\x04"))
	f.Add([]byte("../x\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		link, ok := parseDebuglink(data, binary.LittleEndian.Uint32)
		if !ok {
			if link != (Debuglink{}) {
				t.Errorf("%v for none", link)
			}
			return
		}
		if link.Name == "" || len(link.Name) > 255 || strings.ContainsAny(link.Name, "/\x00") || !bytes.HasPrefix(data, []byte(link.Name)) {
			t.Errorf("name %q", link.Name)
		}
		// The same as a section of a file, and a search with it.
		im, err := elfsym.New(testelf.File{Sections: []testelf.Section{{Name: ".gnu_debuglink", Data: data}}}.Bytes(), "fuzz")
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ReadDebuglink(im); got != link || !ok {
			t.Errorf("%v, then %v", link, got)
		}
		finder := Finder{Dirs: []string{"/nonexistent"}}
		if im, via, _ := finder.Find(im, "/nonexistent/lib.so"); im != nil {
			t.Errorf("found %s via %s", im.Name, via)
		}
	})
}
