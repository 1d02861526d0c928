//go:build unix

package symbolize_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

const goProgram = `package main

import (
	"fmt"
	"os"
	"strings"
)

func inner(s string) int { return len(strings.TrimSpace(s)) }
func middle(s string) int { return inner(s) + 2 }

//go:noinline
func outer(s string) int { return middle(s) * 3 }

func main() { fmt.Println(outer(os.Args[0])) }
`

// TestGoLines compares the lines and inlined calls of a Go program that has DWARF
// with those of the same one stripped, which has Go's own tables alone.
func TestGoLines(t *testing.T) {
	goTool := testenv.Need(t, "go", "golang-go")
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte(goProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	build := func(name string, args ...string) (*symbolize.Symbolizer, *image.Image) {
		path := filepath.Join(dir, name)
		cmd := exec.Command(goTool, append(append([]string{"build", "-o", path}, args...), src)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GO111MODULE=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		im, err := elfsym.OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { im.Close() })
		return symbolize.NewForImage(symbolize.Options{Lines: true}), image.NewImage(im)
	}
	for _, mode := range []string{"exe", "pie"} {
		t.Run(mode, func(t *testing.T) {
			full, fullImage := build("full", "-buildmode="+mode)
			stripped, strippedImage := build("stripped", "-buildmode="+mode, "-ldflags=-s -w")
			var addrs []uint64
			for start, end := range fullImage.CodeRanges() {
				for a := start; a < end; a += 7 {
					addrs = append(addrs, a)
				}
			}
			frame := func(i int) (uint64, bool) { return addrs[i], true }
			want := full.ImageLinesOf(fullImage, len(addrs), frame)
			got := stripped.ImageLinesOf(strippedImage, len(addrs), frame)
			same, inlined, bad := 0, 0, 0
			for i, addr := range addrs {
				w, g := []stack.Frame{{PC: addr, Exact: true}}, []stack.Frame{{PC: addr, Exact: true}}
				want.Frames(w, i)
				got.Frames(g, i)
				if f := w[0].Function(); f == nil || f.File == "" {
					continue
				}
				inlined += len(w[0].Names) - 1
				if slices.Equal(where(w[0]), where(g[0])) {
					same++
				} else if bad++; bad <= 5 {
					t.Errorf("%x: got %v, want %v", addr, where(g[0]), where(w[0]))
				}
			}
			if same < 10_000 || inlined < 1000 {
				t.Errorf("only %d lines and %d inlined calls are the same", same, inlined)
			}
		})
	}
}

// where is what debug information says of a frame.
func where(f stack.Frame) (s []string) {
	for _, n := range f.Names {
		if !n.Inlined {
			n.Symbol = ""
		}
		s = append(s, fmt.Sprintf("%s %s:%d", n.Symbol, n.File, n.Line))
	}
	return s
}
