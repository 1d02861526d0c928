// Package mangled decodes the names that compilers make of their languages'
// names, where no library does it right. All of it is bounded by the length of
// the name.
package mangled
