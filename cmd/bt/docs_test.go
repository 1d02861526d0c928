//go:build linux

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/json"
	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/internal/testenv"
)

// TestJQ runs the examples of docs/json.md on a document.
func TestJQ(t *testing.T) {
	testenv.Need(t, "jq", "jq")
	page, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &json.Writer{W: w}
	p := rendertest.Server()
	p.Threads = p.Threads[:3]
	p.Threads[0].Frames[2].Names, p.Threads[0].Frames[2].Miss = nil, "no symbol"
	render.Process(f, p, render.Sample{})
	f.Close()
	w.Flush()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stacks.json"), out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(page)) {
		command, ok := strings.CutPrefix(line, "    jq ")
		if !ok {
			continue
		}
		cmd := exec.Command("sh", "-c", "jq "+command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		got = append(got, string(out))
	}
	want := []string{
		"1234 server poll\n1235 worker poll\n1236 worker poll\n",
		"3 poll\n",
		"1234\n1236\n",
		"1235 the stack cannot be read\n",
		"0x401000 /srv/server: no symbol\n",
		"c0ffee /usr/lib/libc.so.6\nbeef /srv/server\n",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
