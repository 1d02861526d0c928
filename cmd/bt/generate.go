//go:build linux && generate

package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/gatedso/bt/internal/manpage"
)

// With the build tag "generate" this is another program, which no package has: it writes
// the manual pages and the shells' completions below the directory that is its argument.
//
//	go run -tags generate ./cmd/bt build/share VERSION YYYY-MM-DD
func init() {
	if len(os.Args) != 4 {
		fatal("usage: generate DIR VERSION YYYY-MM-DD")
	}
	date, err := time.Parse(time.DateOnly, os.Args[3])
	if err != nil {
		fatal(err.Error())
	}
	root := newRootCommand(&app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, nil)
	o := manOptions(os.Args[2], date)
	for _, cmd := range manpage.Commands(root) {
		write("man/man1/"+manpage.Name(cmd)+".1", func(f *os.File) error { return manpage.Write(f, cmd, o) })
	}
	for shell, path := range completionFiles {
		write(path, func(f *os.File) error { return completionScripts[shell](root, f, true) })
	}
	os.Exit(0)
}

// write makes a file below the directory.
func write(path string, do func(*os.File) error) {
	path = filepath.Join(os.Args[1], path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		fatal(err.Error())
	}
	f, err := os.Create(path)
	if err == nil {
		err = do(f)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		fatal(err.Error())
	}
}

func fatal(text string) {
	os.Stderr.WriteString(text + "\n")
	os.Exit(1)
}

// completionFiles are where packages have the completions of shells, below their share
// directory.
var completionFiles = map[string]string{
	"bash": "bash-completion/completions/bt",
	"zsh":  "zsh/site-functions/_bt",
	"fish": "fish/vendor_completions.d/bt.fish",
}

func manOptions(version string, date time.Time) manpage.Options {
	return manpage.Options{
		Version: version,
		Date:    date,
		SeeAlso: []string{"gdb(1)", "eu-stack(1)", "addr2line(1)", "core(5)", "ptrace(2)", "vdso(7)"},
	}
}
