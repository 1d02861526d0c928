// Package pprof prints stacks as a profile for "go tool pprof" and what else reads
// profile.proto (github.com/google/pprof/proto/profile.proto), gzipped. It encodes the
// profile itself: package google/pprof/profile compiles its regular expressions
// whenever a program that imports it starts.
package pprof

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"sort"
	"time"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Writer counts stacks, and prints the profile at its Close; it is a render.Format.
type Writer struct {
	W       *bufio.Writer
	Options render.Options

	strings   map[string]int64
	functions map[function]uint64
	locations map[string]uint64 // by their message without its number
	mappings  map[mapping]uint64
	body      message // functions, locations and mappings

	samples map[string]*sample
	order   []*sample

	head        *render.Head // of the process, nil where its maps are not known
	now         render.Sample
	first, last time.Time
	period      time.Duration
	comments    []string
	table       []string
}

// function is what tells a Function of the profile.
type function struct{ name, file int64 }

// mapping is what tells a Mapping of the profile.
type mapping struct {
	start, limit, offset uint64
	file, buildID        string
}

// sample is a stack and how often it was seen.
type sample struct {
	message message // the locations and labels
	count   int64
	wall    time.Duration
}

// The numbers of the fields in profile.proto.
const (
	profileSampleType = 1
	profileSample     = 2
	profileMapping    = 3
	profileLocation   = 4
	profileFunction   = 5
	profileStrings    = 6
	profileTime       = 9
	profileDuration   = 10
	profilePeriodType = 11
	profilePeriod     = 12
	profileComment    = 13

	valueType = 1
	valueUnit = 2

	sampleLocations = 1
	sampleValues    = 2
	sampleLabel     = 3

	labelKey    = 1
	labelString = 2
	labelNumber = 3

	mappingID           = 1
	mappingStart        = 2
	mappingLimit        = 3
	mappingOffset       = 4
	mappingFile         = 5
	mappingBuildID      = 6
	mappingHasFunctions = 7
	mappingHasInlines   = 10

	locationID      = 1
	locationMapping = 2
	locationAddress = 3
	locationLine    = 4

	lineFunction = 1
	lineLine     = 2
	lineColumn   = 3

	functionID         = 1
	functionName       = 2
	functionSystemName = 3
	functionFile       = 4
)

// Maps gives the mappings of the process that comes next.
func (w *Writer) Maps(h *render.Head) { w.head = h }

// Head begins a process.
func (w *Writer) Head(p *stack.Process, s render.Sample) {
	if w.strings == nil {
		w.begin()
		w.first = s.Time
	}
	w.now, w.last, w.period = s, s.Time, max(w.period, s.Period)
	if len(w.mappings) == 0 {
		w.program()
	}
	if p.Death != nil {
		w.comment(p, p.Death.Text)
	}
}

func (w *Writer) begin() {
	w.strings = make(map[string]int64)
	w.functions = make(map[function]uint64)
	w.locations = make(map[string]uint64)
	w.mappings = make(map[mapping]uint64)
	w.samples = make(map[string]*sample)
	w.string("") // the first string is empty
}

func (w *Writer) comment(p *stack.Process, text string) {
	w.comments = append(w.comments, fmt.Sprintf("process %d: %s", p.PID, escape.Text(text)))
}

// Threads counts the stacks of threads.
func (w *Writer) Threads(p *stack.Process) {
	if len(w.mappings) == 0 && len(p.Threads) > 0 {
		// The first mapping names the profile. A process starts in its program.
		if frames := p.Threads[0].Frames; len(frames) > 0 {
			w.mapping(&frames[len(frames)-1])
		}
	}
	for s := range render.ThreadStacks(p) {
		w.add(p, s)
	}
}

// Rest counts the stacks of goroutines and other tasks.
func (w *Writer) Rest(p *stack.Process) {
	for s := range w.Options.TaskStacks(p) {
		w.add(p, s)
	}
	for i := range p.Notes {
		w.comment(p, p.Notes[i].Text)
	}
	for i := range p.Deadlocks {
		w.comment(p, "deadlock: "+p.Deadlocks[i].Text)
	}
	w.head = nil
}

// add counts a stack.
func (w *Writer) add(p *stack.Process, s *render.Stack) {
	var m message
	m.packed(sampleLocations, w.stack(s))
	w.label(&m, "process", escape.Name(p.Name), 0)
	w.label(&m, "pid", "", int64(p.PID))
	if s.Noun == "" {
		w.label(&m, "thread", escape.Name(s.Name), 0)
		w.label(&m, "tid", "", int64(s.TID))
	} else {
		w.label(&m, s.Noun, "", s.Task)
	}
	w.label(&m, "state", escape.Text(s.State), 0)
	known := w.samples[string(m)]
	if known == nil {
		known = &sample{message: m}
		w.samples[string(m)] = known
		w.order = append(w.order, known)
	}
	known.count += w.now.N()
	known.wall += time.Duration(w.now.N()) * w.now.Period
}

// label adds a label of a text or of a number, unless that is empty or 0.
func (w *Writer) label(m *message, key, text string, number int64) {
	if text == "" && number == 0 {
		return
	}
	var l message
	l.int(labelKey, w.string(key))
	l.int(labelString, w.string(text))
	l.int(labelNumber, number)
	m.bytes(sampleLabel, l)
}

// stack returns the numbers of the locations of a stack, the innermost first. Inlined
// calls are lines of the location that they are inlined at. A frame of a language
// runtime is a location of its own, without an address: the same address runs many.
func (w *Writer) stack(s *render.Stack) (ids []uint64) {
	var lines message
	for c := range w.Options.Calls(s) {
		switch {
		case c.Kernel != nil, c.Name != nil && c.Name.Language != "":
			ids = append(ids, w.location(nil, w.line(nil, &c)))
			continue
		case c.Name != nil && c.Name.Symbol != "", !c.Own:
			lines = w.line(lines, &c)
		}
		if c.Own {
			ids = append(ids, w.location(c.Frame, lines))
			lines = nil
		}
	}
	if cut := s.Cut(); cut != "" {
		ids = append(ids, w.location(nil, w.lineOf(nil, cut, nil)))
	}
	return ids
}

// line adds the Line of a call.
func (w *Writer) line(lines message, c *render.Call) message {
	return w.lineOf(lines, c.Label(), c.Name)
}

func (w *Writer) lineOf(lines message, name string, n *stack.Name) message {
	var m message
	file := ""
	if n != nil {
		file = w.Options.File(n)
	}
	m.uint(lineFunction, w.function(name, file))
	if n != nil {
		m.int(lineLine, int64(n.Line))
		m.int(lineColumn, int64(n.Column))
	}
	lines.bytes(locationLine, m)
	return lines
}

// location returns the number of a Location of the frame, which is nil for one without
// an address.
func (w *Writer) location(f *stack.Frame, lines message) uint64 {
	var m message
	if f != nil {
		m.uint(locationMapping, w.mapping(f))
		m.uint(locationAddress, f.PC)
	}
	m = append(m, lines...)
	id := w.locations[string(m)]
	if id == 0 {
		id = uint64(len(w.locations) + 1)
		w.locations[string(m)] = id
		var numbered message
		numbered.uint(locationID, id)
		w.body.bytes(profileLocation, append(numbered, m...))
	}
	return id
}

func (w *Writer) function(name, file string) uint64 {
	f := function{w.string(name), w.string(file)}
	id := w.functions[f]
	if id == 0 {
		id = uint64(len(w.functions) + 1)
		w.functions[f] = id
		var m message
		m.uint(functionID, id)
		m.int(functionName, f.name)
		m.int(functionSystemName, f.name)
		m.int(functionFile, f.file)
		w.body.bytes(profileFunction, m)
	}
	return id
}

// mapping returns the number of the Mapping of a frame, 0 for memory of no file.
func (w *Writer) mapping(f *stack.Frame) uint64 {
	if f.Module == nil {
		return 0
	}
	k := mapping{file: escape.Name(f.Module.Path), buildID: f.Module.BuildID}
	if w.head != nil {
		list := w.head.Maps
		i := sort.Search(len(list), func(i int) bool { return list[i].End > f.PC })
		if i < len(list) && list[i].Start <= f.PC && list[i].Perm&maps.Exec != 0 {
			k.start, k.limit, k.offset = list[i].Start, list[i].End, list[i].Offset
		}
	}
	return w.mappingOf(k)
}

// program adds the mapping of the program, which stands first in the maps: readers take
// the first of a profile for it.
func (w *Writer) program() {
	if w.head == nil {
		return
	}
	for i := range w.head.Maps {
		m := &w.head.Maps[i]
		if m.Perm&maps.Exec == 0 || !m.IsFile() {
			continue
		}
		k := mapping{start: m.Start, limit: m.End, offset: m.Offset, file: escape.Name(m.Path)}
		for _, b := range w.head.BuildIDs {
			if b.Path == m.Path {
				k.buildID = b.ID
				break
			}
		}
		w.mappingOf(k)
		return
	}
}

func (w *Writer) mappingOf(k mapping) uint64 {
	id := w.mappings[k]
	if id == 0 {
		id = uint64(len(w.mappings) + 1)
		w.mappings[k] = id
		var m message
		m.uint(mappingID, id)
		m.uint(mappingStart, k.start)
		m.uint(mappingLimit, k.limit)
		m.uint(mappingOffset, k.offset)
		m.int(mappingFile, w.string(k.file))
		m.int(mappingBuildID, w.string(k.buildID))
		// What bt has not named pprof must not name with files of its own.
		for field := mappingHasFunctions; field <= mappingHasInlines; field++ {
			m.bool(field, true)
		}
		w.body.bytes(profileMapping, m)
	}
	return id
}

// string returns the number of a string.
func (w *Writer) string(s string) int64 {
	n, ok := w.strings[s]
	if !ok {
		n = int64(len(w.table))
		w.strings[s] = n
		w.table = append(w.table, s)
	}
	return n
}

func (w *Writer) valueType(m *message, field int, kind, unit string) {
	var v message
	v.int(valueType, w.string(kind))
	v.int(valueUnit, w.string(unit))
	m.bytes(field, v)
}

// Close prints the profile: how often each stack was seen, and of a recording also for
// how long.
func (w *Writer) Close() {
	if w.strings == nil {
		w.begin()
	}
	var m message
	w.valueType(&m, profileSampleType, "samples", "count")
	if w.period > 0 {
		w.valueType(&m, profileSampleType, "wall", "nanoseconds")
		w.valueType(&m, profilePeriodType, "wall", "nanoseconds")
		m.int(profilePeriod, int64(w.period))
		m.int(profileDuration, int64(w.last.Sub(w.first)+w.period))
	}
	for _, s := range w.order {
		values := []uint64{uint64(s.count)}
		if w.period > 0 {
			values = append(values, uint64(s.wall))
		}
		one := append(message(nil), s.message...)
		one.packed(sampleValues, values)
		m.bytes(profileSample, one)
	}
	if !w.first.IsZero() {
		m.int(profileTime, w.first.UnixNano())
	}
	for _, c := range w.comments {
		m.int(profileComment, w.string(c))
	}
	m = append(m, w.body...)
	for _, s := range w.table {
		m.bytes(profileStrings, []byte(s))
	}
	z := gzip.NewWriter(w.W)
	z.Write(m)
	z.Close()
}
