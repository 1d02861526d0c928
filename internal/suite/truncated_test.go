//go:build linux

package suite

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that somebody truncates while bt has it mapped turns reads of it into
// faults: the addresses are printed raw then, and no fault ends bt.
func TestTruncatedWhileStreaming(t *testing.T) {
	for _, tt := range []struct {
		name string
		args func(path string) []string
		line func(path string, addr uint64) string
	}{
		{"addresses", func(path string) []string { return []string{"-e", path} }, bareAddr},
		{"addresses with lines", func(path string) []string { return []string{"-i", "-e", path} }, bareAddr},
		{"text", func(path string) []string { return []string{"--filter", "-e", path} }, bareAddr},
		{"text that names the file", func(string) []string { return []string{"--filter"} },
			func(path string, addr uint64) string { return fmt.Sprintf("%s+%#x", path, addr) }},
	} {
		t.Run(tt.name, func(t *testing.T) { truncateWhileStreaming(t, tt.args, tt.line) })
	}
}

func bareAddr(_ string, addr uint64) string { return fmt.Sprintf("%016x", addr) }

func truncateWhileStreaming(t *testing.T, args func(path string) []string, line func(path string, addr uint64) string) {
	data, err := os.ReadFile(btPath)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(tempDir(t), "prog")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var addrs []uint64
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Size > 0 {
			addrs = append(addrs, s.Value)
		}
	}

	cmd := btCmd(t, args(path)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(out)
	// Enough of them for the index to be built before the file goes away.
	ask := func(addrs []uint64) (named int) {
		var text bytes.Buffer
		for _, a := range addrs {
			fmt.Fprintln(&text, line(path, a))
		}
		go in.Write(text.Bytes())
		for _, a := range addrs {
			for answers.Scan() && strings.HasSuffix(answers.Text(), "(inlined)") {
			}
			if !strings.HasPrefix(answers.Text(), line(path, a)) {
				t.Fatalf("asked for %x, answered %q; %s", a, answers.Text(), &stderr)
			}
			if strings.Contains(answers.Text(), "<") {
				named++
			}
		}
		return named
	}
	if n := ask(addrs[:1000]); n != 1000 {
		t.Errorf("%d of 1000 addresses named", n)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if n := ask(addrs); n == len(addrs) {
		t.Error("all addresses are named by a file that is empty")
	}
	in.Close()
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v, %s", err, &stderr)
	}
}
