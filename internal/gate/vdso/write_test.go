package vdso

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gate.so")
	check := func(what string, data string, force, wantWrote bool, wantErr error, holds string) {
		t.Helper()
		wrote, err := Write(path, []byte(data), 0o644, force)
		if wrote != wantWrote || !errors.Is(err, wantErr) {
			t.Errorf("%s: wrote %v, %v; want %v, %v", what, wrote, err, wantWrote, wantErr)
		}
		if got, _ := os.ReadFile(path); string(got) != holds {
			t.Errorf("%s: the file holds %q, want %q", what, got, holds)
		}
		if list, _ := os.ReadDir(dir); len(list) != 1 {
			t.Errorf("%s: left over: %v", what, list)
		}
	}
	check("new", "one", false, true, nil, "one")
	check("again", "one", false, false, nil, "one")
	check("again by force", "one", true, false, nil, "one")
	check("other", "two", false, false, ErrExists, "one")
	check("other by force", "two", true, true, nil, "two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", path); err != nil {
		t.Fatal(err)
	}
	check("link", "three", false, false, ErrExists, "")
	check("link by force", "three", true, true, nil, "three")
	if st, err := os.Lstat(path); err != nil || !st.Mode().IsRegular() {
		t.Errorf("the link is still there: %v", err)
	}
	os.Remove(path)
	for name, mk := range map[string]func() error{
		"directory": func() error { return os.Mkdir(path, 0o755) },
		"FIFO":      func() error { return unix.Mkfifo(path, 0o644) },
		"device":    func() error { return os.Symlink("/dev/full", path) },
	} {
		if err := mk(); err != nil {
			t.Fatal(err)
		}
		for _, force := range []bool{false, true} {
			if wrote, err := Write(path, []byte("x"), 0o644, force); wrote || err == nil {
				t.Errorf("%s: wrote %v, %v", name, wrote, err)
			}
		}
		os.Remove(path)
	}
}

// Of several writers without force one wins, and its file is whole.
func TestWriteTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.so")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var winner byte
	for i := range 8 {
		wg.Go(func() {
			data := make([]byte, 100_000)
			for j := range data {
				data[j] = byte(i + 1)
			}
			wrote, err := Write(path, data, 0o644, false)
			if wrote != (err == nil) || err != nil && !errors.Is(err, ErrExists) {
				t.Errorf("%v, %v", wrote, err)
			}
			if wrote {
				mu.Lock()
				defer mu.Unlock()
				if winner != 0 {
					t.Error("two have won")
				}
				winner = byte(i + 1)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 100_000 {
		t.Fatal(len(got), err)
	}
	for _, b := range got {
		if b != winner {
			t.Fatalf("a byte of %d, the winner is %d", b, winner)
		}
	}
}
