//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatedso/bt/internal/manpage"
	"github.com/gatedso/bt/internal/testenv"
)

func testRoot() *cobra.Command {
	return newRootCommand(&app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, nil)
}

// manual writes the pages into a directory and returns what man makes of each, by its name.
func manual(t *testing.T, dir string) map[string]string {
	t.Helper()
	testenv.Need(t, "man", "man-db")
	pages := make(map[string]string)
	for _, path := range writeManual(t, dir) {
		cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", path)
		cmd.Env = append(os.Environ(), "MANWIDTH=100", "LC_ALL=C.UTF-8", "MANPAGER=cat", "PAGER=cat", "MAN_KEEP_FORMATTING=")
		var out, complaints bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaints
		if err := cmd.Run(); err != nil || complaints.Len() > 0 {
			t.Errorf("%s: %v %s", path, err, complaints.String())
		}
		pages[strings.TrimSuffix(filepath.Base(path), ".1")] = out.String()
	}
	return pages
}

func writeManual(t *testing.T, dir string) (paths []string) {
	for _, cmd := range manpage.Commands(testRoot()) {
		path := filepath.Join(dir, manpage.Name(cmd)+".1")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := manpage.Write(f, cmd, manpage.Options{Version: "bt 1.0", Date: time.Unix(1e9, 0)}); err != nil {
			t.Fatal(err)
		}
		f.Close()
		paths = append(paths, path)
	}
	return paths
}

// Every command has a page, which man prints without complaints, and each of its flags is
// in it, as are all the words of its help.
func TestManual(t *testing.T) {
	pages := manual(t, t.TempDir())
	for _, cmd := range manpage.Commands(testRoot()) {
		page := pages[manpage.Name(cmd)]
		if !strings.Contains(page, "NAME\n       "+manpage.Name(cmd)+" - ") || !strings.Contains(page, "\nEXIT STATUS\n") {
			t.Errorf("the page of %s:\n%s", cmd.CommandPath(), page)
		}
		options := section(page, "OPTIONS")
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !regexp.MustCompile(`(?m)^ +(-\w, )?--` + f.Name + `\b`).MatchString(options) {
				t.Errorf("%s: --%s is not in its page", cmd.CommandPath(), f.Name)
			}
		})
		for _, c := range cmd.Commands() {
			if !c.Hidden && !strings.Contains(section(page, "COMMANDS"), manpage.Name(c)+"(1)") {
				t.Errorf("%s: %s is not in its page", cmd.CommandPath(), c.Name())
			}
		}
		words := strings.Fields(page)
		for _, word := range strings.Fields(cmd.Long + " " + cmd.Example) {
			if !slices.Contains(words, word) && !regexp.MustCompile(`^(#|Exit|status:|\d+|.*[,.;])$`).MatchString(word) {
				t.Errorf("%s: %q of its help is not in its page", cmd.CommandPath(), word)
			}
		}
	}
	root := pages["bt"]
	for name, want := range map[string]string{
		"EXIT STATUS": "3      printed, but something is missing",
		"ENVIRONMENT": "BT_GATE_DSO\n",
		"FILES":       "/var/lib/bt/gate\n",
		"OUTPUT":      "# thread 1235 \"worker\"",
		"EXAMPLES":    "bt --pid 1234 --waits\n",
		"SEE ALSO":    "bt-crash(1)",
	} {
		if !strings.Contains(section(root, name), want) {
			t.Errorf("bt(1), %s: no %q in\n%s", name, want, root)
		}
	}
	if status := section(pages["bt-run"], "EXIT STATUS"); !strings.Contains(status, "128 + the number of the signal") || !strings.Contains(status, "127    the command was not found") {
		t.Errorf("bt-run(1): %s", status)
	}
	if strings.Contains(pages["bt-crash"], "worker") {
		t.Error("the page of bt crash has what is hidden")
	}
}

// section is a section of a page.
func section(page, name string) string {
	_, text, _ := strings.Cut(page, "\n"+name+"\n")
	if end := regexp.MustCompile(`\n[A-Z]`).FindStringIndex(text); end != nil {
		text = text[:end[0]+1]
	}
	return text
}

// The program that makes packages' pages and completions makes these.
func TestGenerate(t *testing.T) {
	if testing.Short() {
		t.Skip("builds bt anew")
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "run", "-tags", "generate", ".", dir, "bt 1.0", "2001-09-09")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, path := range writeManual(t, t.TempDir()) {
		want, _ := os.ReadFile(path)
		want, _, _ = bytes.Cut(want, []byte(".SH SEE ALSO"))
		got, err := os.ReadFile(filepath.Join(dir, "man/man1", filepath.Base(path)))
		if err != nil || !bytes.HasPrefix(got, want) {
			t.Errorf("%s: %v\n%s", path, err, got)
		}
	}
	for _, path := range []string{"bash-completion/completions/bt", "zsh/site-functions/_bt", "fish/vendor_completions.d/bt.fish"} {
		if st, err := os.Stat(filepath.Join(dir, path)); err != nil || st.Size() == 0 {
			t.Error(path, err)
		}
	}
}
