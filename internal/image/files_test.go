package image_test

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
)

// A file that is not certain to be the mapped one is used only when it is the
// same build; else what the memory holds of the image is.
func TestReplacedFiles(t *testing.T) {
	dir := t.TempDir()
	mapped := libOf(elf.ELFCLASS64, 0, "mapped")
	mapped.DynSyms = append(mapped.DynSyms, mapped.Symbols...)
	memory := mapped.Bytes()
	mapped.DynSyms = nil
	file := write(t, dir, "mapped.so", mapped.Bytes())
	other := write(t, dir, "other.so", libOf(elf.ELFCLASS64, 0, "other!").Bytes())
	noID := write(t, dir, "noid.so", libOf(elf.ELFCLASS64, 0, "").Bytes())
	bare := libOf(elf.ELFCLASS64, 0, "")

	for _, tt := range []struct {
		name  string
		file  string
		sure  bool
		saved string // build ID known to the source
		mem   []byte
		via   string // "" for no image
		err   string
	}{
		{"the file", file, true, "", nil, "test", ""},
		{"the file, build ID known", file, true, "mapped", nil, "test", ""},
		{"another file under the same name", other, false, "", memory, "memory", ""},
		{"another file, no memory", other, false, "", nil, "", "no build ID to compare"},
		{"another file, build ID known", other, false, "mapped", nil, "", "6f7468657221"},
		{"another file, said to be the same", other, true, "mapped", nil, "", "6f7468657221"},
		{"the same build elsewhere", file, false, "", memory, "test", ""},
		{"the same build, build ID known", file, false, "mapped", nil, "test", ""},
		{"no build ID in the file", noID, false, "", memory, "memory", ""},
		{"no build ID anywhere", noID, false, "", bare.Bytes(), "memory", ""},
		{"no file", "", true, "", memory, "memory", ""},
		{"no file, no memory", "", true, "", nil, "", "/lib/lib.so"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &source{files: map[string]string{}, other: map[string]bool{"/lib/lib.so": !tt.sure}, ids: map[string][]byte{}}
			if tt.file != "" {
				src.files["/lib/lib.so"] = tt.file
			}
			if tt.saved != "" {
				src.ids["/lib/lib.so"] = []byte(tt.saved)
			}
			if tt.mem != nil {
				src.load(tt.mem, libAt)
			}
			s := image.NewSpace(parse(t, "%s", libMaps(libAt, "/lib/lib.so", 12)), src, new(image.Cache))
			p := s.Locate(libAt + 0x1010)
			if (p.Image != nil) != (tt.via != "") || p.Module.Via() != tt.via {
				t.Fatalf("image %v by %q, %v; want by %q", p.Image, p.Module.Via(), p.Err, tt.via)
			}
			if p.Image == nil && (p.Err == nil || !strings.Contains(p.Err.Error(), tt.err)) {
				t.Errorf("error %v", p.Err)
			}
			want := ""
			if tt.via != "" {
				want = "first+10"
			}
			if got := symbolAt(p, libAt+0x1010); got != want {
				t.Errorf("named %q, want %q", got, want)
			}
			if p.Image != nil && p.Bias != libAt {
				t.Errorf("bias %x", p.Bias)
			}
		})
	}
}

// Saved maps: files are taken by their paths.
func TestFiles(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, "lib")
	if err := os.Mkdir(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, lib, "lib.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	// Files that are really called so: alone, and beside one whose mapping was deleted.
	write(t, lib, "called.so (deleted)", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	write(t, lib, "both.so", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	write(t, lib, "both.so (deleted)", libOf(elf.ELFCLASS64, 0, "lib").Bytes())
	write(t, lib, "a b\n\x1b.so", libOf(elf.ELFCLASS64, 0, "odd").Bytes())
	write(t, lib, "text", []byte(strings.Repeat("this is no ELF file\n", 100)))
	if err := unix.Mkfifo(filepath.Join(lib, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line string // of the text segment: path in the maps
		path string
		id   string
		name string
		err  string
	}{
		{"/lib/lib.so", "/lib/lib.so", "", "first+10", ""},
		{"/lib/lib.so", "/lib/lib.so", "lib", "first+10", ""},
		{"/lib/lib.so", "/lib/lib.so", "bil", "", "another file"},
		{"/lib/lib.so (deleted)", "/lib/lib.so", "", "", "no build ID"},
		{"/lib/called.so (deleted)", "/lib/called.so", "", "first+10", ""},
		{"/lib/both.so (deleted)", "/lib/both.so", "", "", "no build ID"},
		{"/lib/lib.so (deleted)", "/lib/lib.so", "lib", "first+10", ""},
		{"/lib/lib.so (deleted)", "/lib/lib.so", "bil", "", "another file"},
		{`/lib/a b\012` + "\x1b.so", "/lib/a b\n\x1b.so", "", "first+10", ""},
		{"/lib/none.so", "/lib/none.so", "", "", "no such file"},
		{"/lib/text", "/lib/text", "", "", "/lib/text"},
		{"/lib/fifo", "/lib/fifo", "", "", "not a regular file"},
		{"/lib", "/lib", "", "", "not a regular file"},
		{"/lib/lib.so/x", "/lib/lib.so/x", "", "", "not a directory"},
		{"/" + strings.Repeat("x", 300), "", "", "", "too long"},
	} {
		m := parse(t, "7f0000001000-7f0000002000 r-xp 00001000 08:01 12 %s\n", tt.line)
		files := &image.Files{Maps: m, Sysroot: root, IDs: map[string][]byte{}}
		if tt.id != "" {
			files.IDs[tt.path] = []byte(tt.id)
		}
		s := image.NewSpace(m, files, new(image.Cache))
		p := s.Locate(libAt + 0x1010)
		if got := symbolAt(p, libAt+0x1010); got != tt.name {
			t.Errorf("%q, build ID %q: %q, want %q: %v", tt.line, tt.id, got, tt.name, p.Err)
		}
		if (p.Err != nil) != (tt.err != "") || p.Err != nil && !strings.Contains(p.Err.Error(), tt.err) {
			t.Errorf("%q, build ID %q: error %v, want %q", tt.line, tt.id, p.Err, tt.err)
		}
		if p.Err == nil && p.Module.Via() != "path" {
			t.Errorf("%q: by %q", tt.line, p.Module.Via())
		}
	}
}

// bt's own vDSO stands for that of saved maps when it is the same build, and
// for nothing else.
func TestFilesVDSO(t *testing.T) {
	own, err := image.ReadMaps("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var vdso *maps.Mapping
	for _, e := range own.Gates() {
		if own.GateOf(e) == maps.VDSO {
			vdso = e
		}
	}
	if vdso == nil {
		t.Skip("no vDSO is mapped here")
	}
	size := vdso.End - vdso.Start
	m := parse(t, "7ffff7fc1000-%x r-xp 00000000 00:00 0 [vdso]\n", 0x7ffff7fc1000+size)
	open := func(id []byte) image.Place {
		ids := map[string][]byte{}
		if id != nil {
			ids["[vdso]"] = id
		}
		s := image.NewSpace(m, &image.Files{Maps: m, IDs: ids}, new(image.Cache))
		return s.Locate(0x7ffff7fc1000)
	}
	if p := open(nil); p.Image != nil {
		t.Error("a vDSO of which nothing is known is taken for bt's own")
	}
	if p := open([]byte("another")); p.Image != nil {
		t.Error("another vDSO is taken for bt's own")
	}
	// Its own build ID: from a space that reads this process's memory.
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	data := make([]byte, size)
	if _, err := mem.ReadAt(data, int64(vdso.Start)); err != nil {
		t.Fatal(err)
	}
	src := &source{mem: []memory{{vdso.Start, data}}}
	live := image.NewSpace(own, src, new(image.Cache)).Locate(vdso.Start)
	if live.Image == nil {
		t.Fatal(live.Err)
	}
	if live.Bias != vdso.Start || live.Module.Via() != "memory" {
		t.Errorf("bias %x, by %q", live.Bias, live.Module.Via())
	}
	id := live.Image.BuildID()
	if id == nil || !bytes.Equal(id, live.Module.MappedBuildID()) {
		t.Fatalf("build IDs %x and %x", id, live.Module.MappedBuildID())
	}
	p := open(id)
	if p.Image == nil || !bytes.Equal(p.Image.BuildID(), id) || p.Bias != 0x7ffff7fc1000 {
		t.Errorf("%s: %+v", hex.EncodeToString(id), p)
	}
}

func TestReadMaps(t *testing.T) {
	dir := t.TempDir()
	if m, err := image.ReadMaps(write(t, dir, "ok", []byte("1000-2000 r-xp 00000000 08:01 1 /x\n"))); err != nil || len(m.Entries) != 1 {
		t.Errorf("%v, %v", m, err)
	}
	for _, path := range []string{write(t, dir, "bad", []byte("no maps at all\n")), dir + "/none", dir} {
		if _, err := image.ReadMaps(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
