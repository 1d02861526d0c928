package addr2line

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/testenv"
)

// objectProgram has code in several sections, as a kernel module has.
const objectProgram = `
static inline __attribute__((always_inline)) int sq(int x) { volatile int y = x; return y * y; }
int hot(int x)
{
	return sq(x) + 1;
}
__attribute__((section(".init.text"))) int start(int a)
{
	return hot(a) - 3 + sq(a);
}
__attribute__((cold)) int rare(int a)
{
	return hot(a) / 3;
}
`

// TestObjectFiles compares every byte of .text and .init.text of files that are not
// linked with what binutils says: their debug sections have relocations.
func TestObjectFiles(t *testing.T) {
	src := filepath.Join(t.TempDir(), "object.c")
	if err := os.WriteFile(src, []byte(objectProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cc := range [][]string{
		{"gcc", "-g", "-O2"},
		{"gcc", "-g", "-O2", "-gdwarf-4"},
		{"gcc", "-g", "-O2", "-m32"},
		// Not -gdwarf64: of its object files binutils finds no line.
		{"gcc", "-g", "-O2", "-gz"},
		{"gcc", "-g", "-O2", "-ffunction-sections"},
		{"clang", "-g", "-O2", "-gdwarf-4"},
		{"aarch64-linux-gnu-gcc-12", "-g", "-O2"},
	} {
		t.Run(strings.Join(cc, ""), func(t *testing.T) {
			path := build(t, cc[0], append(cc[1:], "-c", src)...)
			im, err := elfsym.OpenPath(path)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			known := 0
			for _, section := range []string{".text", ".init.text", ".text.hot"} {
				size, ok := im.SectionSize(section)
				if !ok || size == 0 {
					continue
				}
				var in strings.Builder
				for a := range size {
					fmt.Fprintf(&in, "%#x\n", a)
				}
				args := []string{"-fip", "-j", section, "-e", path}
				got := run(t, in.String(), args...)
				known += strings.Count(got, "object.c:")
				cmd := exec.Command(peerOf(t, cc[0]), args...)
				cmd.Stdin = strings.NewReader(in.String())
				want, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s: got\n%swant\n%s", section, got, want)
				}
			}
			if known < 30 {
				t.Errorf("only %d lines are known", known)
			}
		})
	}
}

// peerOf is the addr2line that knows what a compiler makes.
func peerOf(t *testing.T, cc string) string {
	if strings.HasPrefix(cc, "aarch64") {
		return testenv.Need(t, "aarch64-linux-gnu-addr2line", "binutils-aarch64-linux-gnu")
	}
	return testenv.Need(t, "addr2line", "binutils")
}
