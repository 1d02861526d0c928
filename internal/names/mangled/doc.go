// Package mangled decodes the names that compilers make of their languages' names,
// where no library does it, or does it right: Rust's legacy scheme, D, and the modules
// of Fortran and of OCaml. Each scheme has marks that names of no other language
// have; a name that lacks one is not decoded, since a wrong name is worse than a
// mangled one. All of it is bounded, by the length of the name or by limits.
//
// Other languages' names stay as they are:
//   - Ada (GNAT) and Haskell (GHC) mark theirs in no way: pkg__proc may be C's, and
//     so may any name that the z-encoding leaves as it is.
//   - Nim gives a hash or a number to names that look like C's.
//   - Swift's scheme has types, substitutions and abbreviations; its decoder has
//     thousands of lines, and there is no well-kept one in Go.
package mangled

import "strings"

// Decode decodes a name of any of the schemes; params asks for the parameters of
// functions, where the name tells them.
func Decode(raw string, params bool) (name string, ok bool) {
	switch {
	case strings.HasPrefix(raw, "_D"):
		return D(raw, params)
	case strings.HasPrefix(raw, "_ZN"):
		return Rust(raw)
	case strings.HasPrefix(raw, "__"):
		return Fortran(raw)
	case strings.HasPrefix(raw, "caml"):
		return OCaml(raw)
	}
	return "", false
}
