// Package cfitest compares what a CPU's analysis of code finds with the call frame
// information of real files, at every instruction.
package cfitest

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Image is an ELF file with its code and its call frame information.
type Image struct {
	Class elf.Class
	Table *cfi.Table
	texts []cfi.Section
}

// Open reads a file; t is skipped where there is none.
func Open(t testing.TB, path string) *Image {
	t.Helper()
	f, err := elf.Open(path)
	if os.IsNotExist(err) {
		t.Skip("not on this machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im := &Image{Class: f.Class}
	c := cfi.Config{PtrSize: 8, Order: binary.LittleEndian}
	if f.Class == elf.ELFCLASS32 {
		c.PtrSize = 4
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS {
			continue
		}
		exec := s.Flags&elf.SHF_EXECINSTR != 0
		if !exec && s.Name != ".eh_frame" && s.Name != ".eh_frame_hdr" {
			continue
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		sec := cfi.Section{Addr: s.Addr, Data: data}
		switch {
		case exec:
			im.texts = append(im.texts, sec)
		case s.Name == ".eh_frame":
			c.EhFrame = sec
		default:
			c.EhFrameHdr = sec
		}
	}
	im.Table = cfi.New(c)
	return im
}

// Code returns the bytes of [start, end).
func (im *Image) Code(start, end uint64) []byte {
	for _, s := range im.texts {
		if start >= s.Addr && end <= s.Addr+uint64(len(s.Data)) && start < end {
			return s.Data[start-s.Addr : end-s.Addr]
		}
	}
	return nil
}

// From returns the bytes from start to the section's end.
func (im *Image) From(start uint64) []byte {
	for _, s := range im.texts {
		if start >= s.Addr && start < s.Addr+uint64(len(s.Data)) {
			return s.Data[start-s.Addr:]
		}
	}
	return nil
}

// Tally counts how the analysis fares.
type Tally struct {
	Funcs, Points                int
	Right, Unknown, Wrong, Other int // Other: not comparable
	Saved, Lost, BadSaved        int // registers
}

func (y *Tally) String() string {
	return fmt.Sprintf("%d functions, %d points: %d right, %d unknown (%.2f%%), %d wrong, %d not comparable; registers: %d right, %d lost, %d wrong",
		y.Funcs, y.Points, y.Right, y.Unknown, 100*float64(y.Unknown)/float64(max(y.Points, 1)), y.Wrong, y.Other, y.Saved, y.Lost, y.BadSaved)
}

// Each calls compare for each step-th function of im, with what shows a difference
// at pc in the test's log: the first forty.
func (im *Image) Each(t *testing.T, step int, compare func(f cfi.FDE, report func(pc uint64, what string))) {
	shown, i := 0, 0
	im.Table.FDEs(func(f cfi.FDE) bool {
		if i++; i%step != 0 {
			return true
		}
		compare(f, func(pc uint64, what string) {
			if shown++; shown <= 40 {
				t.Logf("%x in %x: %s", pc, f.Start, what)
			}
		})
		return true
	})
}

// Register compares what a layout says of a callee-saved register with a row: saved
// is nil where it says nothing. sp is the stack pointer relative to the CFA, if known.
func (y *Tally) Register(reg arch.Reg, saved *arch.SavedReg, rule cfi.Rule, sp int64, known bool, report func(what string)) {
	switch {
	case saved != nil && saved.Offset == arch.NoOffset:
		y.Lost++
		report(fmt.Sprintf("lost: register %d, CFI %+v", reg, rule))
	case saved == nil && rule.Kind == cfi.Offset && known && rule.N < sp:
		y.Saved++ // popped already: the rule names the slot below
	case rule.Kind == cfi.Offset && (saved == nil || saved.Offset != rule.N):
		y.BadSaved++
		report(fmt.Sprintf("saved: register %d: %+v, CFI %+v", reg, saved, rule))
	default:
		y.Saved++ // the same, or pushed before CFI says so, or never said
	}
}

// Find returns what l says of reg, nil where that is nothing.
func Find(l *arch.Layout, reg arch.Reg) *arch.SavedReg {
	for i := range l.Saved {
		if l.Saved[i].Reg == reg {
			return &l.Saved[i]
		}
	}
	return nil
}
