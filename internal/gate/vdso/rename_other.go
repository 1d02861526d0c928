//go:build !linux

package vdso

import "os"

// renameNew renames, but replaces no file.
func renameNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
