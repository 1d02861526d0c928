//go:build !linux

package testenv

import "errors"

// memfd makes a file in memory that can be executed.
func memfd(string) (fd int, err error) { return -1, errors.ErrUnsupported }
