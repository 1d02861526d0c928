//go:build linux

// Package all lists the language runtimes that bt reads.
package all

import (
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/runtimes/cpython"
	"github.com/gatedso/bt/internal/runtimes/golang"
	"github.com/gatedso/bt/internal/runtimes/hotspot"
	"github.com/gatedso/bt/internal/runtimes/v8"
)

// Finders returns a Finder for each runtime.
func Finders() []runtimes.Finder {
	return []runtimes.Finder{
		cpython.Finder,
		{Language: golang.Language, Find: golang.Find},
		hotspot.Finder,
		v8.Finder,
	}
}
