package namediff

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

const rustProgram = `
use std::collections::BTreeMap;
use std::fmt::Display;

#[inline(never)]
fn show<T: Display, const N: usize>(items: [T; N]) -> String {
    items.iter().map(|i| format!("<{i}>")).collect()
}

mod _123 {
    #[inline(never)]
    pub fn count(words: &str) -> super::BTreeMap<&str, usize> {
        words.split(' ').fold(Default::default(), |mut m, w| { *m.entry(w).or_insert(0) += 1; m })
    }
}

fn main() {
    println!("{} {:?}", show([1, 2, 3]), _123::count(&show(["a b", "b"])));
}
`

// TestRust compares a Rust program, in both of rustc's manglings.
func TestRust(t *testing.T) {
	if !*full {
		t.Skip("only with -full: make diff")
	}
	needPeers(t)
	rustc := testenv.Need(t, "rustc", "rustc")
	for _, mangling := range []string{"legacy", "v0"} {
		t.Run(mangling, func(t *testing.T) {
			dir := t.TempDir()
			src, out := filepath.Join(dir, "prog.rs"), filepath.Join(dir, "prog")
			if err := os.WriteFile(src, []byte(rustProgram), 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"--edition", "2021", "-O", "-C", "symbol-mangling-version=" + mangling, "-o", out, src}
			if mangling == "legacy" {
				// The old one, which rustc still accepts with this flag.
				args = append([]string{"-Z", "unstable-options"}, args...)
			}
			cmd := exec.Command(rustc, args...)
			cmd.Env = append(os.Environ(), "RUSTC_BOOTSTRAP=1")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			compare(t, out, 100_000, sample)
		})
	}
}

// TestStrippedGo compares a stripped Go program's functions with the symbols of the
// same program before stripping. Go's own table differs in this:
//   - abi0: the suffix .abi0 of assembly functions is missing;
//   - generic: the type arguments of generic functions may be "...";
//   - dot: where the linker writes a point into a symbol, it has a middle dot;
//   - c: for code of C compilers there is a function, but the symbol table has one
//     symbol for a whole object, "runtime/cgo(.text)";
//   - padding: it does not tell where a function ends, so that the padding behind one
//     is taken for a part of it;
//   - mark: the symbols without a size that mark the ends of the text are missing.
func TestStrippedGo(t *testing.T) {
	if !*full {
		t.Skip("only with -full: make diff")
	}
	testenv.Need(t, "readelf", "binutils")
	dir := t.TempDir()
	build := func(name string, flags ...string) string {
		out := filepath.Join(dir, name)
		cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), "github.com/gatedso/bt/cmd/bt-debuginfod")...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return out
	}
	truth, err := open(build("full"))
	if err != nil {
		t.Fatal(err)
	}
	stripped, err := open(build("stripped", "-ldflags=-s -w"))
	if err != nil {
		t.Fatal(err)
	}
	table := truth.tables[0]
	rng := rand.New(rand.NewPCG(*seed, 2))
	addrs := append(truth.functions(), truth.random(rng, 100_000)...)
	by, bad := map[string]int{}, 0
	for _, a := range addrs {
		want := table.covering(a)
		if want == nil {
			want = table.sizeless(a)
		}
		got := stripped.bt(a)
		switch {
		case want == nil && got.name == "":
			by["nobody's"]++
		case want == nil && table.at(got.start) != nil && table.covering(a) == nil:
			by["padding"]++
		case want != nil && got.name == "" && want[0].size == 0:
			by["mark"]++
		case want != nil && got.name != "" && strings.HasSuffix(want[0].name, "(.text)"):
			by["c"]++
		case want == nil || got.name == "" || got.start != want[0].value:
			if bad++; bad < 10 {
				t.Errorf("%#x: %+v, want %+v", a, got, want)
			}
		case named(want, got.name):
			by["same"]++
		case named(want, got.name+".abi0"):
			by["abi0"]++
		case named(want, strings.ReplaceAll(got.name, "·", ".")):
			by["dot"]++
		case goGeneric(want[0].name) == goGeneric(got.name):
			by["generic"]++
		default:
			if bad++; bad < 10 {
				t.Errorf("%#x: %+v, want %+v", a, got, want)
			}
		}
	}
	t.Logf("%d addresses: %v, unexplained: %d", len(addrs), by, bad)
}

// goGeneric drops type arguments: what lies between the first [ and the last ].
func goGeneric(name string) string {
	i, j := strings.IndexByte(name, '['), strings.LastIndexByte(name, ']')
	if i < 0 || j < i {
		return name
	}
	return name[:i] + name[j+1:]
}
