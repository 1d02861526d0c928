//go:build linux

package suite

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Code that a program has moved to other memory is its file's where its bytes are:
// in the process, in cores of the kernel and of gcore, and in what bt itself has
// written down elsewhere.
func TestMovedCode(t *testing.T) {
	for _, how := range []string{"all", "memfd", "pieces", "altered"} {
		for name, flags := range map[string][]string{"PIE": nil, "no PIE": {"-no-pie"}, "one segment": {"-no-pie", "-Wl,-z,noseparate-code"}} {
			t.Run(how+" "+name, func(t *testing.T) {
				if testing.Short() && name != "PIE" {
					t.Skip("-short")
				}
				p := startDumping(t, build(t, "gcc", "moved.c", append([]string{"-O1"}, flags...)...), how)
				p.freeze(t)
				want := []string{"innermost", "on_page", "outer", "main"}
				if how == "altered" {
					want[1] = ""
				}
				check := func(what string, out string) {
					t.Helper()
					frames := parse(t, died.ReplaceAllString(out, ""))[0].threads[0].frames
					for i, f := range frames {
						if f.name != "innermost" {
							continue
						}
						for j, w := range want {
							if i+j >= len(frames) || frames[i+j].name != w {
								t.Errorf("%s: want %q:\n%s", what, want, out)
							}
						}
						if last := frames[len(frames)-1].name; last != "_start" {
							t.Errorf("%s ends at %q:\n%s", what, last, out)
						}
						return
					}
					t.Errorf("%s:\n%s", what, out)
				}
				live := bt(t, "--pid", itoa(p.pid)).want(t, 0).stdout
				check("live", live)

				raw := bt(t, "--pid", itoa(p.pid), "--raw").want(t, 0).stdout
				saved := filepath.Join(tempDir(t), "maps")
				if err := os.WriteFile(saved, []byte(bt(t, "maps", "--pid", itoa(p.pid)).want(t, 0).stdout), 0o644); err != nil {
					t.Fatal(err)
				}
				check("bt --maps", feed(t, raw, "--maps", saved).want(t, 0).stdout)
				report := bt(t, "--pid", itoa(p.pid), "--raw", "--with-maps").want(t, 0).stdout
				got := feed(t, report).want(t, 0).stdout
				check("a report", got[strings.Index(got, "# process"):])

				check("gcore", bt(t, "--core", p.gcore(t)).want(t, 0).stdout)
				core := p.kernelCore(t, syscall.SIGQUIT)
				check("the kernel's core", bt(t, "--core", core).want(t, 0).stdout)
				report = bt(t, "--core", core, "--raw", "--with-maps").want(t, 0).stdout
				got = feed(t, report).want(t, 0).stdout
				check("a report of a core", got[strings.Index(got, "# process"):])
			})
		}
	}
}

// An offset in a module that was moved leads to its memory.
func TestMovedOffset(t *testing.T) {
	prog := build(t, "gcc", "moved.c", "-O1")
	p := start(t, prog, "all")
	out := bt(t, "--pid", itoa(p.pid), "--module").want(t, 0).stdout
	at := strings.Index(out, "<outer+")
	if at < 0 {
		t.Fatalf("outer has no name:\n%s", out)
	}
	link := fmt.Sprintf("%s+%#x", filepath.Base(prog), symbolAddr(t, prog, "outer"))
	got := feed(t, link+"\n", "--pid", itoa(p.pid), "-").want(t, 0).stdout
	if !strings.Contains(got, "<outer+0x0>") {
		t.Errorf("%s is %s", link, got)
	}
}

// symbolAddr is the link-time address of a symbol of a program.
func symbolAddr(t *testing.T, prog, name string) uint64 {
	t.Helper()
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range syms {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("%s has no %s", prog, name)
	return 0
}
