//go:build unix

package symbolize

import (
	"path/filepath"
	"sync"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/dwarf"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/names/debugfile"
)

// debugInfo is the DWARF debug information of an image.
type debugInfo struct {
	data  *dwarf.Data // nil: there is none
	shift uint64      // of the image's addresses from those of data
}

// debugSections are the sections that lines are found by, and where their bytes
// go to.
func debugSections(s *dwarf.Sections) map[string]*[]byte {
	return map[string]*[]byte{
		".debug_info": &s.Info, ".debug_abbrev": &s.Abbrev, ".debug_line": &s.Line, ".debug_str": &s.Str,
		".debug_line_str": &s.LineStr, ".debug_str_offsets": &s.StrOffsets, ".debug_addr": &s.Addr,
		".debug_ranges": &s.Ranges, ".debug_rnglists": &s.RngLists, ".debug_aranges": &s.Aranges,
	}
}

// mayInflate reports whether size bytes may be decompressed, and counts them.
func (o *Options) mayInflate(size uint64) bool {
	if o.MaxInflated == 0 || size == 0 {
		return true
	}
	for {
		sum := o.inflated.Load()
		if size > o.MaxInflated-min(sum, o.MaxInflated) {
			return false
		}
		if o.inflated.CompareAndSwap(sum, sum+size) {
			return true
		}
	}
}

// inflatedSize is how many bytes the sections for lines take that are compressed.
func inflatedSize(im *elfsym.Image, suffix string) (sum uint64) {
	var s dwarf.Sections
	for name := range debugSections(&s) {
		sum += im.InflatedSize(name + suffix)
	}
	return sum
}

// sectionsOf reads the debug sections of a file. Those that are compressed are
// decompressed side by side. suffix is ".dwo" for split units.
func sectionsOf(im *elfsym.Image, suffix string) (s dwarf.Sections, ok bool) {
	var wg sync.WaitGroup
	for name, to := range debugSections(&s) {
		guard.Go(&wg, func() {
			if sec, ok := im.Section(name + suffix); ok {
				*to = sec.Data
			}
		})
	}
	wg.Wait()
	return s, len(s.Info) > 0 && len(s.Abbrev) > 0
}

// debugInfo returns the image's debug information: its own, or that of its
// separate debug file.
func (n *imageNames) debugInfo() *debugInfo {
	n.debugOnce.Do(func() {
		im := n.im.Image
		if debugfile.HasInfo(im) {
			n.openDebugInfo(im)
			return
		}
		if n.finder == nil {
			return
		}
		d, _, _ := n.finder.FindInfo(im, n.path)
		if d == nil {
			return
		}
		shift, err := debugfile.Shift(im, d)
		if err != nil {
			return
		}
		n.debug.shift = shift
		n.openDebugInfo(d)
	})
	return &n.debug
}

func (n *imageNames) openDebugInfo(im *elfsym.Image) {
	if !n.inflate(inflatedSize(im, "")) {
		return
	}
	s, ok := sectionsOf(im, "")
	if !ok {
		return
	}
	o := dwarf.Options{BigEndian: bigEndian(im), Release: im.ReleasePages, Name: n.demangle.name, Bare: n.bare, Inlined: !n.bare}
	o.Note = func(text string) { n.finder.Say("%s: %s", im.Name, text) }
	for start, end := range n.im.CodeRanges() {
		o.Code = append(o.Code, dwarf.Span{Start: start - n.debug.shift, End: end - n.debug.shift})
	}
	if n.finder != nil {
		if alt := n.finder.FindAlt(im); alt != nil && n.inflate(inflatedSize(alt, "")) {
			if s, ok := sectionsOf(alt, ""); ok {
				o.Alt = dwarf.New(s, dwarf.Options{BigEndian: bigEndian(alt)})
			}
		}
	}
	if n.finder != nil {
		split := &splitFiles{names: n, im: im}
		o.Split = split.unit
	}
	n.debug.data = dwarf.New(s, o)
}

func bigEndian(im *elfsym.Image) bool { return im.Order.Uint16([]byte{0, 1}) == 1 }

// absolute is path where it can lead to a file: "[vdso]" cannot.
func absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return ""
}
