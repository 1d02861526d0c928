package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
)

// Symbol is a symbol of an image, as its dynamic symbol table has it, or, in a
// fuller file, its .symtab.
type Symbol struct {
	Name    string
	Version string // "LINUX_2.6"; "" where it has none
	Value   uint64 // link-time address
	Size    uint64 // bytes
}

// Info is what an image says of itself.
type Info struct {
	Soname string
	Kernel string // "6.18.44", from its Linux note; "" without one
	// Symbols are those of the code, by address.
	Symbols []Symbol
}

// Info reads what the image says of itself; what is broken is left out.
func (im *Image) Info() (info Info) {
	info.Kernel = im.kernel()
	// debug/elf may panic on what it did not expect.
	guard.Library(func() error { return im.dynamic(&info) })
	if info.Symbols == nil {
		info.Symbols = im.named()
	}
	return info
}

// dynamic reads the soname and the dynamic symbols with their versions.
func (im *Image) dynamic(info *Info) error {
	f, err := elf.NewFile(bytes.NewReader(im.File))
	if err != nil {
		return err
	}
	if names, err := f.DynString(elf.DT_SONAME); err == nil && len(names) > 0 {
		info.Soname = names[0]
	}
	syms, err := f.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range syms {
		if int(s.Section) >= len(f.Sections) || s.Section == elf.SHN_UNDEF || f.Sections[s.Section].Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		info.Symbols = append(info.Symbols, Symbol{s.Name, s.Version, s.Value, s.Size})
	}
	slices.SortStableFunc(info.Symbols, func(a, b Symbol) int {
		switch {
		case a.Value != b.Value && a.Value < b.Value:
			return -1
		case a.Value != b.Value:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return nil
}

// named lists the symbols that name addresses.
func (im *Image) named() (list []Symbol) {
	im.Named(func(s elfsym.Symbol) bool {
		list = append(list, Symbol{Name: s.Name, Value: s.Value, Size: s.Size})
		return true
	})
	return list
}

// kernel reads the version code that the kernel puts into its images (a note of
// the owner "Linux", type 0; include/linux/elfnote.h, arch/x86/entry/vdso/
// vdso-note.S). A patch level above 255 is cut to that.
func (im *Image) kernel() string {
	h, err := readLayout(im.File)
	if err != nil {
		return ""
	}
	for _, n := range h.notes {
		if n.off > uint64(len(im.File)) || n.size > uint64(len(im.File))-n.off {
			continue
		}
		if v, ok := linuxNote(im.File[n.off:n.off+n.size], im.Order); ok {
			return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff)
		}
	}
	return ""
}

// linuxNote finds the version code in a note segment, whose parts are padded to
// 4 bytes.
func linuxNote(b []byte, order binary.ByteOrder) (version uint32, ok bool) {
	pad := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(b) >= 12 {
		nameSize, descSize, typ := order.Uint32(b), order.Uint32(b[4:]), order.Uint32(b[8:])
		desc := 12 + pad(nameSize)
		end := desc + pad(descSize)
		if end > uint64(len(b)) {
			return 0, false
		}
		if typ == 0 && nameSize == 6 && descSize == 4 && string(b[12:18]) == "Linux\x00" {
			return order.Uint32(b[desc:]), true
		}
		b = b[end:]
	}
	return 0, false
}
