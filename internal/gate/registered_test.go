package gate

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

// stateDir makes a state directory that holds images of these build IDs, in hex.
func stateDir(t *testing.T, ids ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, hexID := range ids {
		var id []byte
		if _, err := fmt.Sscanf(hexID, "%x", &id); err != nil {
			t.Fatal(err)
		}
		f := testelf.File{BuildID: id, Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x800, Data: make([]byte, 64)}}}
		if err := os.WriteFile(filepath.Join(dir, hexID+".so"), f.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What is registered is the fifth step: it serves where none of the first four
// sets anything.
func TestRegisteredPrecedence(t *testing.T) {
	none := t.TempDir()
	dir, empty := stateDir(t, "cafe"), t.TempDir()
	procfs, file := sysctl(t, "/from/sysctl\n")
	unset, unsetFile := sysctl(t, "\n")
	ours, oursFile := sysctl(t, dir+"/cafe.so\n")
	withPath := fmt.Sprintf(gateLine, "/from/maps")
	for _, tt := range []struct {
		name        string
		s           Sources
		maps        string
		value, from string
		step        int
	}{
		{"registered", Sources{Procfs: none, StateDirs: []string{dir}}, vdsoLine, Registered, dir, 5},
		{"in the second directory", Sources{Procfs: none, StateDirs: []string{none + "/x", empty, dir}}, vdsoLine, Registered, dir, 5},
		{"nothing in the directory", Sources{Procfs: none, StateDirs: []string{empty}}, vdsoLine, Live, "default", 6},
		{"no directory", Sources{Procfs: none, StateDirs: []string{none + "/x"}}, vdsoLine, Live, "default", 6},
		{"sysctl first", Sources{Procfs: procfs, StateDirs: []string{dir}}, vdsoLine, "/from/sysctl", file, 4},
		{"empty sysctl first", Sources{Procfs: unset, StateDirs: []string{dir}}, vdsoLine, "", unsetFile, 4},
		{"sysctl that names a registered one", Sources{Procfs: ours, StateDirs: []string{dir}}, vdsoLine, dir + "/cafe.so", oursFile, 4},
		{"maps first", Sources{Procfs: none, StateDirs: []string{dir}}, withPath, "/from/maps", "maps", 3},
		{"a file in place of [vdso] first", Sources{Procfs: none, StateDirs: []string{dir}}, strings.Replace(vdsoLine, "[vdso]", "/from/vdso", 1), "/from/vdso", "maps", 3},
		{"environment first", Sources{Env: ptr("/env"), StateDirs: []string{dir}}, vdsoLine, "/env", Env, 2},
		{"flag first", Sources{Flag: ptr(Registered), StateDirs: []string{dir}}, vdsoLine, Registered, "--gate-dso", 1},
	} {
		got := tt.s.Decide(parse(t, tt.maps))
		if got.Value != tt.value || got.From != tt.from || got.Step() != tt.step {
			t.Errorf("%s: %q from %q, step %d; want %q from %q, step %d", tt.name, got.Value, got.From, got.Step(), tt.value, tt.from, tt.step)
		}
	}
}

// The mapped build is what is opened, whichever else is registered.
func TestOpenRegistered(t *testing.T) {
	first, second := stateDir(t, "cafe", "beef"), stateDir(t, "cafe", "f00d")
	none := t.TempDir()
	ours, _ := sysctl(t, first+"/beef.so\n")
	gone, _ := sysctl(t, first+"/dead.so\n")
	dirs := []string{first, second}
	for _, tt := range []struct {
		name   string
		procfs string
		want   Mapped
		opens  string // "" where it is live, or an error
		err    error
		text   string
	}{
		{"the first that has it", none, Mapped{BuildID: []byte{0xca, 0xfe}}, first + "/cafe.so", nil, ""},
		{"the second", none, Mapped{BuildID: []byte{0xf0, 0x0d}}, second + "/f00d.so", nil, ""},
		{"not registered", none, Mapped{BuildID: []byte{0xde, 0xad}}, "", ErrNotRegistered, "build ID dead is not registered in " + first},
		{"not known", none, Mapped{}, "", nil, ""},
		{"another machine", none, Mapped{BuildID: []byte{0xca, 0xfe}, Machine: elf.EM_386}, "", ErrRefused, "EM_386"},
		{"sysctl, the image it names", ours, Mapped{BuildID: []byte{0xbe, 0xef}}, first + "/beef.so", nil, ""},
		{"sysctl, another ABI's", ours, Mapped{BuildID: []byte{0xf0, 0x0d}}, second + "/f00d.so", nil, ""},
		{"sysctl, not registered", ours, Mapped{BuildID: []byte{0xde, 0xad}}, "", ErrRefused, "build ID is beef"},
		{"sysctl, not known", ours, Mapped{}, first + "/beef.so", nil, ""},
		{"sysctl, the file is gone", gone, Mapped{BuildID: []byte{0xde, 0xad}}, "", nil, "does not exist"},
	} {
		set := Sources{Procfs: tt.procfs, StateDirs: dirs}.Decide(parse(t, vdsoLine))
		im, err := set.Open(tt.want)
		if tt.err != nil && !errors.Is(err, tt.err) || (err != nil) != (tt.text != "") || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		name := ""
		if im != nil {
			name = im.Name
			im.Close()
		}
		if name != tt.opens {
			t.Errorf("%s: %s, want %q", tt.name, name, tt.opens)
		}
	}
}

func TestUnsafeStateDir(t *testing.T) {
	testenv.NeedRoot(t)
	dir := stateDir(t, "cafe")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	set := Sources{Procfs: t.TempDir(), StateDirs: []string{dir}}.Decide(parse(t, vdsoLine))
	if im, err := set.Open(Mapped{BuildID: []byte{0xca, 0xfe}}); im != nil || err == nil || !strings.Contains(err.Error(), "others can write there") {
		t.Errorf("%v, %v", im, err)
	}
}

// Maps in which it is not clear what the gate is name nothing.
func TestAmbiguous(t *testing.T) {
	line := func(addrs string) string { return addrs + " ---p 00000000 00:00 0          /gate.so\n" }
	const gate = "7ffff7fc1000-7ffff7fc3000"
	for _, tt := range []struct {
		name string
		maps string
		want string
	}{
		{"alone", progLine + line(gate), ""},
		{"over [vdso]", vdsoLine + line(gate), ""},
		{"beside a mapping", "7ffff7fc0000-7ffff7fc1000 r--p 00000000 08:01 7 /lib/x\n7ffff7fc3000-7ffff7fc4000 r--p 00000000 08:01 7 /lib/x\n" + line(gate), ""},
		{"two", line("7ffff7fd1000-7ffff7fd3000") + line(gate), "two gate lines"},
		{"two, the same", line(gate) + line(gate), "two gate lines"},
		{"across the end", "7ffff7fc2000-7ffff7fc4000 r--p 00000000 08:01 7 /lib/x\n" + line(gate), "overlaps the mapping at 7ffff7fc2000"},
		{"across all of it", "7ffff7fc0000-7ffff7fc4000 rw-p 00000000 00:00 0 [stack]\n" + line(gate), "overlaps"},
		{"within", "7ffff7fc1800-7ffff7fc2000 rw-p 00000000 00:00 0 \n" + line(gate), "overlaps"},
	} {
		set := Sources{Procfs: t.TempDir()}.Decide(parse(t, tt.maps))
		_, err := set.Open(Mapped{})
		if tt.want == "" {
			tt.want = `gate DSO "/gate.so" (set by maps) does not exist`
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "gate frames stay raw") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
