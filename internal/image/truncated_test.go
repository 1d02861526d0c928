package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// copyOf opens a copy of a file that the test may cut.
func copyOf(t *testing.T, path string) (*image.Image, string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cp := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(cp, data, 0o755); err != nil {
		t.Fatal(err)
	}
	im, err := elfsym.OpenPath(cp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return image.NewImage(im), cp
}

// cProgram is a small C program.
func cProgram(t *testing.T, args ...string) string {
	t.Helper()
	gcc := testenv.Need(t, "gcc", "gcc")
	exe := filepath.Join(t.TempDir(), "prog")
	src := exe + ".c"
	if err := os.WriteFile(src, []byte("#include <stdio.h>\nint main(void) { return puts(\"\"); }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-Wl,-z,lazy", "-no-pie", "-o", exe, src}, args...)
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exe
}

// A row that was found while the file was whole is used when it is gone.
func TestRowOutlivesFile(t *testing.T) {
	im, path := copyOf(t, cProgram(t))
	plt, ok := im.Section(".plt")
	if !ok {
		t.Fatal("no .plt")
	}
	row, _, err := im.Row(plt.Addr+16, true)
	if err != nil || len(row.Exprs) == 0 {
		t.Fatalf("the row of .plt has no expression: %+v, %v", row, err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	regs := registers{7: 0x7000, 16: plt.Addr + 16}
	if v, err := cfi.Eval(row.Exprs[0], &cfi.Context{Env: regs, PtrSize: 8}); err != nil || v != 0x7008 {
		t.Errorf("CFA %#x, %v", v, err)
	}
}

type registers map[uint64]uint64

func (r registers) Reg(n uint64) (uint64, bool)           { v, ok := r[n]; return v, ok }
func (r registers) Mem(addr uint64, n int) (uint64, bool) { return 0, false }

// Nothing that an image is asked is more than a miss once the file is gone,
// whether it was asked before or not.
func TestImageOfTruncatedFile(t *testing.T) {
	exe, err := os.Executable() // a Go program
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{cProgram(t), cProgram(t, "-Wl,--no-eh-frame-hdr"), exe} {
		for _, before := range []bool{false, true} {
			for _, part := range []int64{0, 2, 10} {
				im, cp := copyOf(t, path)
				if before {
					askAll(im)
				}
				size := int64(0)
				if st, err := os.Stat(cp); part > 0 && err == nil {
					size = st.Size() / part
				}
				if err := os.Truncate(cp, size); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					askAll(im)
				}
			}
		}
	}
}

func askAll(im *image.Image) {
	var addrs []uint64
	for _, s := range im.Segments() {
		for off := uint64(0); off < s.Filesz; off += s.Filesz/97 + 1 {
			addrs = append(addrs, s.Vaddr+off)
		}
	}
	addrs = append(addrs, im.Entry, 0)
	for _, a := range addrs {
		im.Row(a, true)
		im.Row(a, false)
		im.GoFunc(a)
		im.FuncStart(a)
		im.Lookup(a)
		im.PLT(a)
	}
	im.LookupAll(addrs, make([]elfsym.Match, len(addrs)))
	for ref := range min(im.NumSymbols(), 50) {
		im.Symbol(elfsym.Ref(ref))
		im.Version(elfsym.Ref(ref))
		im.Sizeless(elfsym.Ref(ref))
	}
	im.BuildID()
	for _, s := range []string{".debug_info", ".debug_frame", ".eh_frame", ".gnu_debugdata"} {
		im.Section(s)
	}
}
