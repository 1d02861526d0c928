//go:build unix

package symbolize

import (
	"sync"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/dwarf"
)

// splitFiles opens the split units of an image's debug information: in DWARF packages
// beside the image and its debug file (PROG.dwp), else in .dwo files.
type splitFiles struct {
	names *imageNames
	im    *elfsym.Image // that has the skeletons

	once     sync.Once
	packages []*dwarf.Package
}

// unit is dwarf.Options.Split.
func (f *splitFiles) unit(id uint64, name, dir string) *dwarf.Data {
	f.once.Do(f.openPackages)
	for _, p := range f.packages {
		if d := p.Unit(id); d != nil {
			return d
		}
	}
	return f.open(dir, name)
}

func (f *splitFiles) openPackages() {
	for _, im := range f.names.finder.OpenPackages(f.names.path, f.im) {
		if im.Order != f.im.Order {
			continue
		}
		index, ok := im.Section(".debug_cu_index")
		if !ok {
			continue
		}
		if s, o, ok := f.sections(im); ok {
			if p := dwarf.NewPackage(index.Data, s, o); p != nil {
				f.packages = append(f.packages, p)
			}
		}
	}
}

// open opens a .dwo file; package dwarf checks that it is the right one.
func (f *splitFiles) open(dir, name string) *dwarf.Data {
	dwo := f.names.finder.OpenSplit(f.names.path, dir, name)
	if dwo == nil || dwo.Order != f.im.Order {
		return nil
	}
	if s, o, ok := f.sections(dwo); ok {
		return dwarf.New(s, o)
	}
	return nil
}

func (f *splitFiles) sections(im *elfsym.Image) (s dwarf.Sections, o dwarf.Options, ok bool) {
	if !f.names.inflate(inflatedSize(im, ".dwo")) {
		return s, o, false
	}
	s, ok = sectionsOf(im, ".dwo")
	return s, dwarf.Options{BigEndian: bigEndian(im), Release: im.ReleasePages}, ok
}
