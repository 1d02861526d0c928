package debugfile

import (
	"path/filepath"
	"slices"

	"github.com/gatedso/bt/elfsym"
)

// OpenSplit opens the file that holds split debug information of an image that is
// called path: a .dwo file, which name and dir, of the compiler, say where to find.
// It is looked for there and beside the image, below the same roots as for Find. The
// caller must check that it is the right one. It returns nil where there is none; the
// image belongs to the Finder.
func (f *Finder) OpenSplit(path, dir, name string) *elfsym.Image {
	if f.BuildIDOnly {
		return nil
	}
	var names []string
	if filepath.IsAbs(name) {
		names = append(names, name)
	} else if filepath.IsAbs(dir) {
		names = append(names, filepath.Join(dir, name))
	}
	if filepath.IsAbs(path) {
		names = append(names, filepath.Join(filepath.Dir(path), filepath.Base(name)))
	}
	s := search{f: f, path: path}
	for _, name := range names {
		for _, p := range s.places() {
			if im := s.openAny(p, name); im != nil {
				return im
			}
		}
	}
	return nil
}

// OpenPackages opens the DWARF packages that hold split debug information of an image
// that is called path: PROG.dwp beside it, or beside debug, the file that has its debug
// information, below the same roots as for Find. The images belong to the Finder.
func (f *Finder) OpenPackages(path string, debug *elfsym.Image) (list []*elfsym.Image) {
	if f.BuildIDOnly {
		return nil
	}
	s := search{f: f, path: path}
	for _, name := range []string{path, debug.Name} {
		if !filepath.IsAbs(name) {
			continue
		}
		for _, p := range s.places() {
			if im := s.openAny(p, name+".dwp"); im != nil && !slices.Contains(list, im) {
				list = append(list, im)
			}
		}
	}
	return list
}

// openAny opens an ELF file of any kind.
func (s *search) openAny(p place, name string) *elfsym.Image {
	file, err := p.open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	id, err := identify(file)
	if err != nil {
		return nil
	}
	im, err := s.f.file(id).open(file)
	if err != nil {
		return nil
	}
	return im
}
