// Package store keeps the registered gate images: one file per build ID in a
// state directory, so that the kernel's next build can never be named by this
// one's symbols.
package store

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/gate/vdso"
	"github.com/gatedso/bt/internal/trust"
)

// System is the directory of what root has registered, for all users.
const System = "/var/lib/bt/gate"

// Env is the environment variable that names the state directory.
const Env = "BT_STATE_DIR"

// Dirs lists the state directories, in the order in which they are asked; the
// first is the one to write to. flag is --state-dir, or empty; getenv is
// os.Getenv.
func Dirs(flag string, getenv func(string) string, uid int) []string {
	if flag != "" {
		return []string{flag}
	}
	if dir := getenv(Env); dir != "" {
		return []string{dir}
	}
	if uid == 0 {
		return []string{System}
	}
	// The XDG base directory specification: a relative path counts as unset.
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		state = ""
		if home := getenv("HOME"); filepath.IsAbs(home) {
			state = filepath.Join(home, ".local/state")
		}
	}
	if state == "" {
		return []string{System}
	}
	return []string{filepath.Join(state, "bt/gate"), System}
}

// Store is one state directory.
type Store struct {
	Dir string // absolute, without symbolic links
}

// Open opens the state directory dir. Where there is none, the error is
// fs.ErrNotExist; run as root, one that others can change is trust.ErrUnsafe.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(real)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("the state directory %s is not a directory", dir)
	}
	if os.Geteuid() == 0 {
		if err := trust.Path(real); err != nil {
			return nil, fmt.Errorf("the state directory %s is refused: %w, or use --state-dir", dir, err)
		}
	}
	return &Store{real}, nil
}

// Create is Open that makes the directory where there is none.
func Create(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return Open(dir)
}

const suffix = ".so"

// path is where the image of a build ID is.
func (s *Store) path(id []byte) string {
	return filepath.Join(s.Dir, hex.EncodeToString(id)+suffix)
}

// Lookup returns the path of the image with that build ID. Whether it is one,
// and no one has damaged it, is for the reader to check.
func (s *Store) Lookup(id []byte) (path string, ok bool) {
	if len(id) == 0 || len(id) > maxID {
		return "", false
	}
	path = s.path(id)
	_, err := os.Lstat(path)
	return path, err == nil
}

// maxID bounds the length of a build ID in bytes; those of today have 20.
const maxID = 64

// Entry is a registered image.
type Entry struct {
	BuildID string // in hexadecimal digits
	Path    string
}

// List returns the registered images, sorted by build ID.
func (s *Store) List() ([]Entry, error) {
	files, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if id, err := hex.DecodeString(name); !ok || err != nil || len(id) == 0 || len(id) > maxID {
			continue
		}
		list = append(list, Entry{strings.ToLower(name), filepath.Join(s.Dir, f.Name())})
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.BuildID, b.BuildID) })
	return list, nil
}

// Add stores an image and returns its path. One of the same build ID is
// replaced, unless it tells more: wrote says whether anything has changed.
func (s *Store) Add(im *vdso.Image) (path string, wrote bool, err error) {
	id := im.BuildID()
	if len(id) == 0 || len(id) > maxID {
		return "", false, fmt.Errorf("%s: it has no build ID to register it by: use --gate-dso", im.From)
	}
	path = s.path(id)
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
		old, err := vdso.ReadFile(path)
		if err == nil && vdso.SameBuild(old, im) && (old.Full() || !im.Full()) {
			return path, false, os.Chmod(path, 0o644)
		}
	} else if err == nil {
		// A link that leads elsewhere, a FIFO: not from here.
		if err := os.Remove(path); err != nil {
			return "", false, err
		}
	}
	wrote, err = vdso.Write(path, im.File, 0o644, true)
	if err == nil {
		err = os.Chmod(path, 0o644) // whatever the umask: it is for all users
	}
	return path, wrote, err
}

// Remove removes an image.
func (s *Store) Remove(e Entry) error { return os.Remove(e.Path) }
