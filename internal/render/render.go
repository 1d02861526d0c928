// Package render holds what the formats share. Each format is a folder below it:
// it takes the model of package stack, which says everything there is to say, and
// finds out nothing itself.
package render

import (
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Head is what it takes, beside addresses, to name them elsewhere: the mappings of
// a process and what is known of them.
type Head struct {
	Maps []maps.Mapping
	// BuildIDs are those of the mapped files, in the order of the maps.
	BuildIDs []BuildID
	// GateSymbols are the symbols of the gate DSO: no other machine has that image.
	GateSymbols []GateSymbol
}

// BuildID is the build ID of a file.
type BuildID struct {
	ID   string // in hexadecimal
	Path string
}

// GateSymbol is a symbol of the gate DSO at its run-time address.
type GateSymbol struct {
	Addr, Size uint64 // Size is in bytes
	Name       string
}

// Notes tells of each frame of a process how it was found and what named it, or
// why nothing did: what bt --verbose says. note is called with one line a frame.
func Notes(p *stack.Process, note func(format string, args ...any)) {
	for i := range p.Threads {
		t := &p.Threads[i]
		for j := range t.Frames {
			f := &t.Frames[j]
			note("thread %d: %s found by %s, %s", t.TID, Addr(f.PC, p.WordSizeOf(t)), f.Found, Explain(f))
		}
	}
}

// Explain says where a frame's name is from, or why it has none.
func Explain(f *stack.Frame) string {
	var of, in string
	if m := f.Module; m != nil {
		file := m.Path
		if m.Via != "" {
			file += " (opened by " + m.Via + ")"
		}
		if m.Error != "" {
			file += ": " + m.Error
		}
		of, in = " of "+file, ", "+file
	}
	if n := f.Function(); n != nil && n.Symbol != "" {
		text := "named by " + n.Source + of
		if n.Version != "" {
			text += ", version " + n.Version
		}
		return text
	}
	return "not named: " + f.Miss.Text() + in
}
