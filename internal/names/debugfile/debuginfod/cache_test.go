package debuginfod

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var buildID = []byte{0xab, 0xcd, 0xef, 1}

func TestDefaultCache(t *testing.T) {
	home := t.TempDir()
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"HOME": home}, home + "/.cache/debuginfod_client"},
		{map[string]string{"HOME": home, "XDG_CACHE_HOME": "/x"}, "/x/debuginfod_client"},
		{map[string]string{"HOME": home, "XDG_CACHE_HOME": "/x", "DEBUGINFOD_CACHE_PATH": "/c"}, "/c"},
		{nil, "/.cache/debuginfod_client"},
	} {
		if got := DefaultCache(func(k string) string { return test.env[k] }); got.Dir != test.want {
			t.Errorf("%v: %s", test.env, got.Dir)
		}
	}
	if err := os.Mkdir(home+"/.debuginfod_client_cache", 0o700); err != nil {
		t.Fatal(err)
	}
	if got := DefaultCache(func(string) string { return home }); got.Dir != home {
		t.Error(got) // DEBUGINFOD_CACHE_PATH comes first
	}
	env := map[string]string{"HOME": home, "XDG_CACHE_HOME": "/x"}
	if got := DefaultCache(func(k string) string { return env[k] }); got.Dir != home+"/.debuginfod_client_cache" {
		t.Error(got)
	}
}

func TestCache(t *testing.T) {
	c := Cache{filepath.Join(t.TempDir(), "new", "cache")}
	path := filepath.Join(c.Dir, hex.EncodeToString(buildID), "debuginfo")
	lookup := func(want error) {
		t.Helper()
		got, err := c.Lookup(buildID)
		if !errors.Is(err, want) || err == nil && got != path {
			t.Errorf("%q, %v; want %v", got, err, want)
		}
	}
	lookup(os.ErrNotExist)
	if err := c.Miss(buildID); err != nil {
		t.Fatal(err)
	}
	lookup(ErrMiss)

	// cache_miss_s counts, where it is a number.
	age := func(s string) {
		t.Helper()
		if err := os.WriteFile(c.Dir+"/cache_miss_s", []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-700 * time.Second)
	os.Chtimes(path, old, old)
	lookup(os.ErrNotExist)
	age("1000\n")
	lookup(ErrMiss)
	age("-1")
	lookup(os.ErrNotExist)
	age("0")
	lookup(os.ErrNotExist)

	// The file of mode 000 by which older clients remembered a miss.
	age("600")
	now := time.Now()
	os.Chtimes(path, now, now)
	os.Chmod(path, 0)
	lookup(ErrMiss)

	f, err := c.Create(buildID)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("contents")
	lookup(ErrMiss) // not yet
	if _, err := c.Keep(buildID, f, time.Time{}); err != nil {
		t.Fatal(err)
	}
	lookup(nil)
	if err := c.Miss(buildID); err != nil { // it has come meanwhile
		t.Fatal(err)
	}
	lookup(nil)
}
