package debuginfod

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Cache is a directory that holds the debug file of build ID HEX as
// HEX/debuginfo. An empty file there says that no server had it when the file
// was written, and counts for the number of seconds in the file cache_miss_s.
// Files are never removed for their age: elfutils' client does that.
type Cache struct{ Dir string }

// ErrMiss is the error for a file that servers were asked for recently, and
// did not have.
var ErrMiss = errors.New("not on the servers (when last asked)")

// defaultMiss is how long a miss is remembered where the cache does not say.
const defaultMiss = 600 * time.Second

// DefaultCache is the cache that debuginfod-find(1) uses. getenv is os.Getenv.
func DefaultCache(getenv func(string) string) Cache {
	if dir := getenv("DEBUGINFOD_CACHE_PATH"); dir != "" {
		return Cache{dir}
	}
	home := getenv("HOME")
	old := filepath.Join(home, ".debuginfod_client_cache")
	if st, err := os.Stat(old); home != "" && err == nil && st.IsDir() {
		return Cache{old}
	}
	if dir := getenv("XDG_CACHE_HOME"); dir != "" {
		return Cache{filepath.Join(dir, "debuginfod_client")}
	}
	if home == "" {
		home = "/"
	}
	return Cache{filepath.Join(home, ".cache", "debuginfod_client")}
}

func (c Cache) path(buildID []byte) string {
	return filepath.Join(c.Dir, hex.EncodeToString(buildID), "debuginfo")
}

// Lookup returns the path of a cached file, ErrMiss, or another error when the
// cache knows nothing of it. Whether the file is what its name says is for the
// caller to check.
func (c Cache) Lookup(buildID []byte) (path string, err error) {
	path = c.path(buildID)
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s: not a regular file", path)
	case st.Size() > 0:
		return path, nil
	case time.Since(st.ModTime()) < c.missAge():
		return "", ErrMiss
	}
	return "", os.ErrNotExist
}

// missAge reads cache_miss_s.
func (c Cache) missAge() time.Duration {
	f, err := os.Open(filepath.Join(c.Dir, "cache_miss_s"))
	if err != nil {
		return defaultMiss
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || n < 0 {
		return defaultMiss
	}
	return time.Duration(n) * time.Second
}

// Miss remembers that no server has the file.
func (c Cache) Miss(buildID []byte) error {
	path := c.path(buildID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// A miss that is remembered already is an older one, which has expired.
	if st, err := os.Stat(path); err == nil && st.Size() == 0 {
		os.Remove(path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return nil // somebody else has got the file meanwhile
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Create makes a temporary file beside the place of a new file. Call Keep with
// it, or close and remove it.
func (c Cache) Create(buildID []byte) (*os.File, error) {
	dir := filepath.Dir(c.path(buildID))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.CreateTemp(dir, "debuginfo.*")
}

// Keep puts the complete file f, from Create, into its place and closes it.
// modified is its modification time, or zero.
func (c Cache) Keep(buildID []byte, f *os.File, modified time.Time) (path string, err error) {
	path = c.path(buildID)
	err = errors.Join(f.Chmod(0o400), f.Close())
	if err == nil && !modified.IsZero() {
		err = os.Chtimes(f.Name(), time.Now(), modified)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return path, nil
}
