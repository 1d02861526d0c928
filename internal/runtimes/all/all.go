// Package all lists the language runtimes that bt reads.
package all

import "github.com/gatedso/bt/internal/runtimes"

// Finders returns a Finder for each runtime.
func Finders() []runtimes.Finder {
	return nil
}
