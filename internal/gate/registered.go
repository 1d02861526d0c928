package gate

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/gatedso/bt/internal/gate/store"
)

// registered is the state directories that hold images.
type registered struct{ stores []*store.Store }

// openRegistered opens those of dirs that hold images; nil where none does. One
// that must not be trusted is an error.
func openRegistered(dirs []string) (*registered, error) {
	var r registered
	for _, dir := range dirs {
		s, err := store.Open(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if list, err := s.List(); err == nil && len(list) > 0 {
			r.stores = append(r.stores, s)
		}
	}
	if r.stores == nil {
		return nil, nil
	}
	return &r, nil
}

// lookup returns the path of the image with that build ID.
func (r *registered) lookup(id []byte) (path string, ok bool) {
	if r == nil {
		return "", false
	}
	for _, s := range r.stores {
		if path, ok := s.Lookup(id); ok {
			return path, true
		}
	}
	return "", false
}

// holds reports whether path is that of a registered image.
func (r *registered) holds(path string) bool {
	if r == nil {
		return false
	}
	for _, s := range r.stores {
		if filepath.Dir(path) == s.Dir {
			return true
		}
	}
	return false
}
