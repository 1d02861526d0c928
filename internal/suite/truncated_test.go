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

	cmd := btCmd(t, "-e", path)
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
			fmt.Fprintf(&text, "%x\n", a)
		}
		go in.Write(text.Bytes())
		for _, a := range addrs {
			if !answers.Scan() || !strings.HasPrefix(answers.Text(), fmt.Sprintf("%016x", a)) {
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
