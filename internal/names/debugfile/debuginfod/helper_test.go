package debuginfod_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/names/debugfile/debuginfod"
	"github.com/gatedso/bt/internal/names/debugfile/debuginfod/fetch"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

// TestMain is the helper as well, when a Helper of these tests starts it.
func TestMain(m *testing.M) {
	switch os.Getenv("BT_TEST_HELPER") {
	case "":
		os.Exit(m.Run())
	case "serve":
		if err := fetch.Serve(fetch.FromEnv(os.Getenv), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "nonsense":
		fmt.Println("hello")
		for range 1000 {
			fmt.Print("an endless line")
		}
	case "exit":
	}
}

func helper(t *testing.T, mode string, urls ...string) *debuginfod.Helper {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &debuginfod.Helper{
		Cache: debuginfod.Cache{Dir: t.TempDir()},
		URLs:  urls, Path: self,
		Env:  []string{"BT_TEST_HELPER=" + mode},
		Note: t.Logf,
	}
	t.Cleanup(func() { h.Close() })
	return h
}

var id = []byte("0123456789abcdef")

func TestHelper(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if strings.Contains(r.URL.Path, hex.EncodeToString(id)+"/") {
			w.Write(testelf.File{BuildID: id}.Bytes())
		} else {
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	h := helper(t, "serve", "http://127.0.0.1:1", s.URL)
	for range 2 {
		path, err := h.Fetch(id)
		if err != nil {
			t.Fatal(err)
		}
		if im, err := elfsym.OpenPath(path); err != nil {
			t.Error(err)
		} else {
			im.Close()
		}
		if _, err := h.Fetch(id[:8]); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Error(err)
		}
	}
	if asked != 3 { // the miss is not remembered, as one server is down
		t.Errorf("asked %d times", asked)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := h.Fetch(id[:4]); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// TestHelperFails has helpers that are not there or not what they should be.
func TestHelperFails(t *testing.T) {
	for _, mode := range []string{"nonsense", "exit"} {
		h := helper(t, mode, "http://127.0.0.1:1")
		for range 2 {
			if _, err := h.Fetch(id); err == nil || !strings.Contains(err.Error(), "bt-debuginfod ended") {
				t.Errorf("%s: %v", mode, err)
			}
		}
	}
	h := helper(t, "serve", "http://127.0.0.1:1")
	h.Path = ""
	t.Setenv("PATH", t.TempDir())
	if _, err := h.Fetch(id); err == nil || !strings.Contains(err.Error(), "neither beside bt nor on the PATH") {
		t.Error(err)
	}
	h = helper(t, "serve") // without servers, no helper
	if _, err := h.Fetch(id); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestRealServer downloads from Debian's server, and shares its client's cache.
func TestRealServer(t *testing.T) {
	testenv.Need(t, "debuginfod-find", "debuginfod")
	testenv.Need(t, "gcc", "gcc")
	dir := t.TempDir()
	src := filepath.Join(dir, "a.c")
	if err := os.WriteFile(src, []byte("static int hidden(void) { return 1; } int main(void) { return hidden(); }"), 0o644); err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(files, "a")
	if out, err := exec.Command("gcc", "-g", "-Wl,--build-id", "-o", exe, src).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	im, err := elfsym.OpenPath(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	have, none := im.BuildID(), []byte("no such build ID 123")
	url := testenv.Debuginfod(t, files, have)

	// Ours, then theirs from the same cache with a server that does not exist.
	h := helper(t, "serve", url)
	path, err := h.Fetch(have)
	if err != nil {
		t.Fatal(err)
	}
	find := func(cache, url string, id []byte) (string, error) {
		cmd := exec.Command("debuginfod-find", "debuginfo", hex.EncodeToString(id))
		cmd.Env = append(os.Environ(), "DEBUGINFOD_CACHE_PATH="+cache, "DEBUGINFOD_URLS="+url)
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	if got, err := find(h.Cache.Dir, "http://127.0.0.1:1", have); err != nil || got != path {
		t.Errorf("debuginfod-find says %q, %v; want %q", got, err, path)
	}
	if _, err := h.Fetch(none); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Error(err)
	}
	if _, err := h.Fetch(none); err != debuginfod.ErrMiss {
		t.Error(err)
	}

	// Theirs, then ours without a helper.
	c := debuginfod.Cache{Dir: filepath.Join(dir, "theirs")}
	want, err := find(c.Dir, url, have)
	if err != nil {
		t.Fatal(err)
	}
	if path, err := c.Lookup(have); err != nil || path != want {
		t.Errorf("%q, %v; want %q", path, err, want)
	}
	if _, err := find(c.Dir, url, none); err == nil {
		t.Error("debuginfod-find found nonsense")
	}
	if _, err := c.Lookup(none); err != debuginfod.ErrMiss {
		t.Error(err)
	}
}
