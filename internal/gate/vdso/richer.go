package vdso

import (
	"bytes"
	"debug/elf"
	"slices"
)

// Full reports whether the image has a .symtab, and not only the few dynamic
// symbols that the kernel maps.
func (im *Image) Full() bool {
	_, ok := im.Section(".symtab")
	return ok
}

// SameBuild reports whether two files are the same build of an image: by build
// ID, machine and segments, and both with their code. The code's bytes may
// differ: the kernel adapts those that it maps to the CPU
// (apply_alternatives).
func SameBuild(a, b *Image) bool {
	return a.BuildID() != nil && bytes.Equal(a.BuildID(), b.BuildID()) &&
		a.Class == b.Class && a.Machine == b.Machine && a.Order == b.Order &&
		slices.Equal(a.Segments(), b.Segments()) && a.hasCode() && b.hasCode()
}

// hasCode reports whether the segments' bytes are in the file, which they are
// not in a separate debug file.
func (im *Image) hasCode() bool {
	for _, s := range im.Segments() {
		if s.Flags&elf.PF_X == 0 {
			continue
		}
		if uint64(len(im.Bytes(s.Vaddr, int(min(s.Filesz, maxFile))))) < s.Filesz {
			return false
		}
	}
	text, ok := im.Image.Section(".text")
	return !ok || text.Data != nil
}

// Richest returns the file that tells most of im: im itself, or a build of the
// same from paths that has a .symtab. Files of paths that are none are passed
// over.
func Richest(im *Image, paths []string) *Image {
	for _, path := range paths {
		if im.Full() {
			break
		}
		f, err := ReadFile(path)
		if err == nil && f.Full() && SameBuild(im, f) {
			return f
		}
	}
	return im
}
