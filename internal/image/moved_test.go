package image_test

import (
	"bytes"
	"debug/elf"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
)

// Memory amid a library's mappings is the library's where its bytes are, and only
// where both sides agree on where it is loaded.
func TestMovedText(t *testing.T) {
	lib := libOf(elf.ELFCLASS64, 0, "lib")
	lib.Sections[0].Data = bytes.Repeat([]byte{0x55, 0x90, 0xc3}, 0x55)
	data := padded(lib.Bytes(), 0x3000)
	path := write(t, t.TempDir(), "lib.so", data)
	text := data[0x1000:0x2000]
	altered := bytes.Clone(text)
	altered[0x20] ^= 1

	const at = libAt
	head := fmt.Sprintf("%x-%x r--p 00000000 08:01 12 /lib/lib.so\n", at, at+0x1000)
	tail := fmt.Sprintf("%x-%x rw-p 00002000 08:01 12 /lib/lib.so\n", at+0x3000, at+0x4000)
	anon := fmt.Sprintf("%x-%x r-xp 00000000 00:00 0 \n", at+0x1000, at+0x2000)
	for _, tt := range []struct {
		name string
		maps string
		mem  []byte
		want string
	}{
		{"the same bytes", head + anon + tail, text, "first+10"},
		{"one byte differs", head + anon + tail, altered, ""},
		{"memory that cannot be read", head + anon + tail, nil, ""},
		{"a part of it", head + anon + tail, text[:0x800], ""},
		{"a name of the kernel's", head + fmt.Sprintf("%x-%x r-xp 00000000 00:00 0 [anon:text]\n", at+0x1000, at+0x2000) + tail, text, "first+10"},
		{"writable, too", head + fmt.Sprintf("%x-%x rwxp 00000000 00:00 0 \n", at+0x1000, at+0x2000) + tail, text, "first+10"},
		{"huge pages of a file", head + fmt.Sprintf("%x-%x r-xp 00000000 00:0f 99 /anon_hugepage (deleted)\n", at+0x1000, at+0x2000) + tail, text, "first+10"},
		{"only before, and it touches", head + anon, text, "first+10"},
		{"only behind, at a distance", anon + tail, text, ""},
		{"two libraries, that before touches", head + anon + fmt.Sprintf("%x-%x rw-p 00002000 08:01 13 /lib/other.so\n", at+0x3000, at+0x4000), text, "first+10"},
		{"the sides are of different copies", head + anon + fmt.Sprintf("%x-%x rw-p 00002000 08:01 12 /lib/lib.so\n", at+0x5000, at+0x6000), text, ""},
		{"not executable", head + fmt.Sprintf("%x-%x rw-p 00000000 00:00 0 \n", at+0x1000, at+0x2000) + tail, text, ""},
		{"no library", anon, text, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &source{files: map[string]string{"/lib/lib.so": path}}
			if tt.mem != nil {
				src.mem = []memory{{at + 0x1000, tt.mem}}
			}
			s := image.NewSpace(parse(t, "%s", tt.maps), src, new(image.Cache))
			s.Prepare()
			defer s.Close()
			p := s.Locate(at + 0x1010)
			if got := symbolAt(p, at+0x1010); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if addr, ok := s.Resolve("lib.so", 0x1010); ok != (tt.want != "") || ok && addr != at+0x1010 {
				t.Errorf("lib.so+0x1010 is at %x, %v", addr, ok)
			}
			// Elsewhere, with nothing to compare, the written maps name alike.
			saved := &image.Files{Maps: maps.New(append([]maps.Mapping(nil), s.FileEntries()...)), Sysroot: "/"}
			again := image.NewSpace(saved.Maps, src, new(image.Cache))
			src.mem = nil
			if got := symbolAt(again.Locate(at+0x1010), at+0x1010); got != tt.want {
				t.Errorf("saved: %q, want %q", got, tt.want)
			}
			if !s.Executable(at+0x1010) && tt.name != "not executable" || again.Executable(at+0x1010) != s.Executable(at+0x1010) {
				t.Error("executable or not?")
			}
		})
	}
}

// One page differs: the others are the file's, and saved maps say so.
func TestMovedPages(t *testing.T) {
	lib := libOf(elf.ELFCLASS64, 0, "")
	lib.Sections[0].Data = bytes.Repeat([]byte{0x90}, 0x4000)
	for i := range lib.Segments {
		lib.Segments[i].Memsz = 0
	}
	lib.Segments[1].Filesz = 0x4000
	lib.Segments = lib.Segments[:2]
	lib.Symbols[0].Size, lib.Symbols[1].Value, lib.Symbols[1].Size = 0x2000, 0x3000, 0x2000
	data := padded(lib.Bytes(), 0x5000)
	path := write(t, t.TempDir(), "lib.so", data)
	mem := bytes.Clone(data[0x1000:0x5000])
	mem[0x1000] = 0xcc
	src := &source{files: map[string]string{"/lib.so": path}, mem: []memory{{libAt + 0x1000, mem}}}
	s := image.NewSpace(parse(t, "%x-%x r--p 00000000 08:01 12 /lib.so\n%x-%x r-xp 00000000 00:00 0 \n",
		uint64(libAt), uint64(libAt+0x1000), uint64(libAt+0x1000), uint64(libAt+0x6000)), src, new(image.Cache))
	var got []string
	for _, off := range []uint64{0x1000, 0x2000, 0x3000, 0x4000, 0x5000} {
		got = append(got, symbolAt(s.Locate(libAt+off+8), libAt+off+8))
	}
	if want := `["first+8" "" "second+8" "second+1008" ""]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("%q, want %s", got, want)
	}
	var lines []byte
	for _, e := range s.FileEntries() {
		lines = append(maps.AppendLine(lines, &e), '\n')
	}
	want := "7f0000000000-7f0000001000 r--p 00000000 08:01 12                         /lib.so\n" +
		"7f0000001000-7f0000002000 r-xp 00001000 08:01 12                         /lib.so\n" +
		"7f0000002000-7f0000003000 r-xp 00000000 00:00 0 \n" +
		"7f0000003000-7f0000005000 r-xp 00003000 08:01 12                         /lib.so\n" +
		"7f0000005000-7f0000006000 r-xp 00000000 00:00 0 \n"
	if string(lines) != want {
		t.Errorf("%s\nwant\n%s", lines, want)
	}
}
