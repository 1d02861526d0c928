package elfsym

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// peerFiles are real files whose symbols eu-addr2line and nm see as bt does:
// without a separate debug file, which eu-addr2line would read as well.
func peerFiles(t *testing.T) (out []string) {
	for _, path := range realFiles(t) {
		if im, err := OpenPath(path); err == nil {
			if debugFileOf(path) == "" && im.hasSymbols() {
				out = append(out, path)
			}
			im.Close()
		}
	}
	return out
}

// aliases lists for each address the names of the symbols that start there.
func aliases(im *Image) map[uint64][]string {
	out := map[uint64][]string{}
	for ref := range Ref(im.numSyms) {
		if s, ok := im.Symbol(ref); ok {
			out[s.Value] = append(out[s.Value], s.Name)
		}
	}
	return out
}

// TestAddr2line compares a sample with eu-addr2line -S. The differences that
// there may be:
//   - another alias of the same start: elfutils keeps the one that comes first
//     in an order of its own;
//   - a version behind the name: elfutils prints those of .dynsym.
func TestAddr2line(t *testing.T) {
	tool := testenv.Need(t, "eu-addr2line", "elfutils")
	for _, path := range peerFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			im, err := OpenPath(path)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			if im.Machine == elf.EM_ARM {
				t.Skip("elfutils takes the Thumb bit for a part of the address: its functions begin a byte late")
			}
			names := aliases(im)
			rng := rand.New(rand.NewPCG(8, 9))
			var addrs []uint64
			var in bytes.Buffer
			for i := range min(300, 4_000_000/int(im.numSyms)) { // eu-addr2line is linear

				c := rng.Uint32N(im.areas.total)
				addr := im.areas.at(c).addr(c)
				if s, ok := im.Symbol(Ref(rng.Uint32N(im.numSyms))); ok && i%2 == 0 {
					if _, ok := im.areas.find(s.Value); ok {
						addr = s.Value + rng.Uint64N(s.Size+1)
					}
				}
				addrs = append(addrs, addr)
				fmt.Fprintf(&in, "%#x\n", addr)
			}
			cmd := exec.Command(tool, "-S", "-e", path)
			cmd.Stdin = &in
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(out), "\n")
			same, alias := 0, 0
			for i, addr := range addrs {
				name, off, _ := strings.Cut(lines[2*i], "+")
				offset, _ := strconv.ParseUint(off, 0, 64)
				name, _, _ = strings.Cut(name, "@")
				s, ok := im.Lookup(addr)
				switch {
				case name == "()" || name == "??":
					if ok {
						t.Errorf("%#x: %+v, but eu-addr2line has no name", addr, s)
					}
				case ok && s.Name == name && addr-s.Value == offset:
					same++
				case ok && addr-s.Value == offset && slices.Contains(names[s.Value], name):
					alias++
				default:
					t.Errorf("%#x: %+v %v, but eu-addr2line says %s", addr, s, ok, lines[2*i])
				}
			}
			t.Logf("%d the same, %d another alias", same, alias)
		})
	}
}

// TestNm asks for the start of every function that nm lists. The symbol found
// must start there and be one that nm lists there.
func TestNm(t *testing.T) {
	nm := testenv.Need(t, "nm", "binutils")
	for _, path := range peerFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			im, err := OpenPath(path)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			starts := map[uint64]map[string]bool{}
			sized := map[uint64]bool{} // starts of symbols with a size
			for ref := range Ref(im.numSyms) {
				if t, i := im.table(ref); t != nil {
					if s := t.at(i); s.size > 0 {
						sized[s.value] = true
					}
				}
			}
			for _, args := range [][]string{{"--defined-only", path}, {"-D", "--defined-only", "--without-symbol-versions", path}} {
				out, _ := exec.Command(nm, args...).Output() // it fails when there is no .symtab
				for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
					f := strings.Fields(sc.Text())
					if len(f) != 3 || !strings.Contains("TtWwi", f[1]) {
						continue
					}
					addr, err := strconv.ParseUint(f[0], 16, 64)
					if err != nil {
						t.Fatal(err)
					}
					if starts[addr] == nil {
						starts[addr] = map[string]bool{}
					}
					if !strings.HasPrefix(f[2], ".annobin_") { // node has some, from its libc_nonshared.a
						starts[addr][string(trimVersion([]byte(f[2])))] = true
					}
				}
			}
			bad := 0
			for addr, names := range starts {
				ref, value, ok := im.lookupRef(addr)
				if ok && value == addr && names[string(im.NameBytes(ref))] {
					continue
				}
				if _, exec := im.areas.find(addr); !exec {
					continue // the end of a section
				}
				if len(names) == 0 || ok && value < addr && !sized[addr] {
					continue // a label inside a function
				}
				if bad++; bad < 10 {
					t.Errorf("%#x: %q at %#x, %v; nm has %v", addr, im.NameBytes(ref), value, ok, names)
				}
			}
			t.Logf("%d starts", len(starts))
		})
	}
}

// TestLibcAliases looks at names that everybody knows: libc has up to six
// symbols for each, and of fork, select and getpid the plain one is weak.
func TestLibcAliases(t *testing.T) {
	const libc = "/lib/x86_64-linux-gnu/libc.so.6"
	for _, path := range []string{libc, debugFileOf(libc)} {
		im, err := OpenPath(path)
		if err != nil {
			t.Log(err)
			continue
		}
		defer im.Close()
		for addr, names := range aliases(im) {
			for _, want := range []string{"kill", "read", "write", "abort", "raise", "getenv", "fork", "select", "getpid", "poll", "mprotect"} {
				if !slices.Contains(names, want) {
					continue
				}
				if s, ok := im.Lookup(addr); ok && s.Name != want {
					t.Errorf("%s: %#x is %q, of %v", path, addr, s.Name, names)
				}
			}
		}
	}
}
