package namediff

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// made are ways to a program that take more than one command: a script makes "prog" of
// the sources in $src, in a directory of its own. Where it leaves "plain" that is what
// llvm-symbolizer is asked of: the same code, with debug information that it can read.
var made = []struct {
	name, tools, script string
}{
	{"dwz", "g++ dwz", `g++ -O2 -g -o other $src/templates.cc
		g++ -O1 -g -o prog $src/templates.cc
		cp prog plain
		dwz -m $PWD/common.dwz other prog
		readelf -SW prog | grep -q gnu_debugaltlink`},
	{"dwz, one file", "g++ dwz", `g++ -O2 -g -o prog $src/templates.cc; dwz prog`},
	{"split, gcc", "g++", `g++ -O2 -g -gsplit-dwarf -o prog $src/templates.cc`},
	{"split, gcc, DWARF 4", "g++", `g++ -O2 -g -gdwarf-4 -gsplit-dwarf -o prog $src/templates.cc`},
	{"split, clang", "clang++", `clang++ -std=c++17 -O2 -g -gsplit-dwarf -o prog $src/templates.cc`},
	{"package, DWARF 4", "g++ dwp", `g++ -O2 -g -gdwarf-4 -gsplit-dwarf -o prog $src/templates.cc; dwp -e prog -o prog.dwp; rm *.dwo`},
	{"relocations kept", "g++", `g++ -O2 -g -Wl,--emit-relocs -o prog $src/templates.cc; readelf -SW prog | grep -q rela.debug_info`},
	{"zlib", "g++ objcopy", `g++ -O2 -g -o prog $src/templates.cc; objcopy --compress-debug-sections=zlib prog`},
	{".zdebug", "g++ objcopy", `g++ -O2 -g -o prog $src/templates.cc; objcopy --compress-debug-sections=zlib-gnu prog`},
	{"separate", "g++ objcopy", `g++ -O2 -g -o prog $src/templates.cc; objcopy --only-keep-debug prog prog.debug; objcopy --strip-debug --add-gnu-debuglink=prog.debug prog`},
	{"64-bit DWARF", "g++", `g++ -O2 -g -gdwarf64 -o prog $src/templates.cc`},
	{"32-bit program", "gcc", `gcc -m32 -O2 -g -nostdlib -static -ffreestanding -o prog $src/bare.c`},
	{"big-endian, MIPS", "clang ld.lld", `clang --target=mips-linux-gnu -O2 -g -c $src/bare.c; ld.lld -o prog bare.o`},
	{"big-endian, MIPS64, DWARF 4", "clang ld.lld", `clang --target=mips64-linux-gnuabi64 -O2 -g -gdwarf-4 -c $src/bare.c; ld.lld -o prog bare.o`},
	{"big-endian, PowerPC", "clang ld.lld", `clang --target=powerpc-linux-gnu -O2 -g -c $src/bare.c; ld.lld -o prog bare.o`},
	{"AArch64", "aarch64-linux-gnu-gcc-12", `aarch64-linux-gnu-gcc-12 -O2 -g -nostdlib -static -ffreestanding -o prog $src/bare.c`},
	{"ARM", "arm-linux-gnueabihf-gcc-12", `arm-linux-gnueabihf-gcc-12 -O2 -g -nostdlib -static -ffreestanding -o prog $src/bare.c -lgcc`},
	{"RISC-V, relaxed", "clang ld.lld", `clang --target=riscv64-linux-gnu -O2 -g -c $src/bare.c; ld.lld -o prog bare.o`},
}

// toolPackages are the Debian packages of the tools that scripts name.
var toolPackages = map[string]string{
	"dwp": "binutils", "objcopy": "binutils", "clang++": "clang", "ld.lld": "lld",
	"aarch64-linux-gnu-gcc-12": "gcc-12-aarch64-linux-gnu", "arm-linux-gnueabihf-gcc-12": "gcc-12-arm-linux-gnueabihf",
}

// TestLinesMade is TestLines for what comes out of more than a compiler.
func TestLinesMade(t *testing.T) {
	if !*full {
		t.Skip("only with -full: make diff")
	}
	needPeers(t)
	src, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range made {
		t.Run(m.name, func(t *testing.T) {
			for tool := range strings.FieldsSeq(m.tools) {
				pkg := toolPackages[tool]
				if pkg == "" {
					pkg = tool
				}
				testenv.Need(t, tool, pkg)
			}
			cmd := exec.Command("sh", "-ec", m.script)
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "src="+src)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			file := filepath.Join(cmd.Dir, "prog")
			plain := filepath.Join(cmd.Dir, "plain")
			if _, err := os.Stat(plain); err != nil {
				plain = file
			}
			diffLines(t, file, plain, nil)
		})
	}
	for file := range strings.FieldsFuncSeq(*lineFiles, func(r rune) bool { return r == ',' }) {
		t.Run(filepath.Base(file), func(t *testing.T) { diffLines(t, file, file, nil) })
	}
}
