package debugfile

import (
	"bytes"
	"path/filepath"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/procfs"
)

// HasInfo reports whether im has debug information, compressed or not.
func HasInfo(im *elfsym.Image) bool {
	size, ok := im.SectionSize(".debug_info")
	return ok && size > 0
}

// altLink is what a .gnu_debugaltlink section says: the path of the file that
// dwz moved to what several debug files have in common, and its build ID.
type altLink struct {
	path string
	id   []byte
}

func readAltLink(im *elfsym.Image) (link altLink, ok bool) {
	sec, ok := im.Section(".gnu_debugaltlink")
	if !ok {
		return altLink{}, false
	}
	err := guard.Read(func() error {
		const maxPath = 4096
		n := bytes.IndexByte(sec.Data[:min(len(sec.Data), maxPath)], 0)
		if n <= 0 || len(sec.Data)-n-1 < 2 || len(sec.Data)-n-1 > maxBuildID {
			ok = false
			return nil
		}
		link = altLink{string(sec.Data[:n]), bytes.Clone(sec.Data[n+1:])}
		return nil
	})
	return link, ok && err == nil
}

// FindAlt returns the file that im, an image with debug information, shares a
// part of that with: by its build ID in Dirs, or by the path that im has of it,
// below the same roots as for Find. It returns nil where there is none. The image
// belongs to the Finder.
func (f *Finder) FindAlt(im *elfsym.Image) *elfsym.Image {
	link, ok := readAltLink(im)
	if !ok {
		return nil
	}
	s := search{f: f, im: im, id: link.id, path: im.Name, info: true, seen: make(map[fileID]bool)}
	names := s.byBuildID()
	if !f.BuildIDOnly {
		path := link.path
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(im.Name), path)
		}
		names = append(names, path)
	}
	for _, name := range names {
		for _, p := range s.places() {
			if alt := s.try(p.open, name, s.sameID); alt != nil {
				return alt
			}
		}
	}
	if f.Debuginfod != nil {
		if path, err := f.Debuginfod.Fetch(link.id); err == nil {
			return s.try(procfs.Open, path, s.sameID)
		}
	}
	return nil
}
