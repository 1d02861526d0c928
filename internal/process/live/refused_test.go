//go:build linux

package live

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where even root may not open a file, the error says why that can be, and what to
// do; it stays the error that it is.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		err  error
		root bool
		hint bool
	}{
		{unix.EACCES, true, true},
		{unix.EPERM, true, true},
		{unix.EACCES, false, false},
		{unix.ENOENT, true, false},
	} {
		err := refused(tt.err, tt.root)
		if !errors.Is(err, tt.err) || strings.Contains(err.Error(), "allow_root") != tt.hint {
			t.Errorf("%v, root %v: %v", tt.err, tt.root, err)
		}
	}
}
