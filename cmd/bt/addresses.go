//go:build linux

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/packed"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/json"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/text/lines"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// addresses names addresses: the given ones, or those on standard input.
func (a *rootCommand) addresses(out *output, pids []int, addrs []uint64, fromStdin bool) error {
	o := lines.Options{ReturnAddresses: a.returns, Append: a.answers(out), Raw: a.raw}
	var closeTarget func()
	var err error
	if o.Space, closeTarget, err = a.openTarget(pids); err != nil {
		return err
	}
	defer closeTarget()
	o.BulkBytes = bulkBytes(o.Space)
	o.Space = a.withLines(o.Space)
	o.Bulk, _ = a.lines()
	if o.Space == nil {
		o.NewSpace = func(text []byte, head lines.Head) (lines.Space, error) {
			space, err := a.reportSpace(text, head)
			return a.withLines(space), err
		}
	}
	if a.verbose {
		defer a.sayJITProblem(o.Space)
	}
	if !fromStdin {
		_, err := out.Write(answer(&o, addrs))
		return err
	}
	out.follow(a.stdin)
	in, stop := a.input(out)
	res, err := lines.Run(in, out, o)
	stop()
	if res.NoSpace {
		a.incomplete("addresses without a target: give --pid, --core, --maps or --exe, or maps lines before the addresses")
	}
	if res.Malformed > 0 {
		a.incomplete("line %d is no address: %q (%d such lines passed through)", res.FirstMalformed.Number, res.FirstMalformed.Text, res.Malformed)
	}
	return err
}

// sayJITProblem says what could not be read of what the space's program tells of
// code that it has compiled.
func (a *rootCommand) sayJITProblem(space lines.Space) {
	if s, ok := space.(*lineSpace); ok {
		space = s.Space
	}
	if s, ok := space.(*mappedSpace); ok {
		if err := s.space.JITProblem(); err != nil {
			a.errorf("%v", err)
		}
	}
}

// answers returns the printer of answers to addresses.
func (a *rootCommand) answers(out *output) func(dst []byte, frames []stack.Frame, wordSize, limit int) ([]byte, int) {
	opts := a.textOptions(out)
	print := opts.AppendFrames
	if a.format == formatJSON {
		common := a.commonOptions()
		print = func(dst []byte, frames []stack.Frame, _, limit int) ([]byte, int) {
			return json.Addresses(dst, frames, &common, limit)
		}
	}
	if a.raw {
		return print
	}
	return func(dst []byte, frames []stack.Frame, wordSize, limit int) ([]byte, int) {
		dst, n := print(dst, frames, wordSize, limit)
		for i := range frames[:n] {
			a.sayRefused(&frames[i])
			if a.verbose {
				a.errorf("%s %s", render.Addr(frames[i].PC, wordSize), render.Explain(&frames[i]))
			}
		}
		return dst, n
	}
}

// answer returns the answers to given addresses.
func answer(o *lines.Options, addrs []uint64) []byte {
	frames := make([]stack.Frame, len(addrs))
	for i, addr := range addrs {
		frames[i] = stack.Frame{PC: addr, Exact: !o.ReturnAddresses}
	}
	if !o.Raw {
		o.Space.Frames(frames)
	}
	dst, _ := o.Append(nil, frames, o.Space.WordSize(), math.MaxInt)
	return dst
}

// openTarget opens what the target flags name, for its addresses: a mappedSpace
// or an imageSpace; nil when they name none. The caller closes it.
func (a *rootCommand) openTarget(pids []int) (space lines.Space, closeTarget func(), err error) {
	closeTarget = func() {}
	switch {
	case len(pids) > 0 && a.savedProcfs():
		m, err := image.ReadMaps(filepath.Join(a.procfs, strconv.Itoa(pids[0]), "maps"))
		if err != nil {
			return nil, nil, err
		}
		space = a.newSpace(savedSpace(m, a.sysroot, nil, a.session().Images), a.session().Names(m))
	case len(pids) > 0:
		p, err := a.openProcess(pids[0])
		if err != nil {
			return nil, nil, err
		}
		m, err := mapsOf(p)
		if err != nil {
			p.Close()
			return nil, nil, err
		}
		names, done := a.session().ProcessNames(p, m)
		closeTarget = func() { done(); p.Close() }
		space = a.newSpace(image.NewSpace(m, snapshot.Source(p, a.sysroot), a.session().Images), names)
	case a.core != "":
		c, err := a.session().OpenCore(a.core, a.exe, a.incomplete)
		if err != nil {
			return nil, nil, err
		}
		closeTarget = func() { c.Close() }
		space = a.newSpace(image.NewSpace(c.Source.Maps, c.Source, a.session().Images), a.session().Names(c.Source.Maps))
	case a.mapsFile != "":
		// A saved copy, or what bt maps printed: that has comment lines.
		b, err := readSaved(a.mapsFile)
		if err != nil {
			return nil, nil, err
		}
		text, head := lines.ReadHead(b)
		if space, err = a.reportSpace(text, head); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.mapsFile, err)
		}
	case a.exe != "":
		im, err := packed.OpenELF(a.exe)
		if err != nil {
			return nil, nil, err
		}
		img := image.NewImage(im)
		space = &imageSpace{path: a.exe, im: img, sym: symbolize.NewForImage(a.session().Names(nil))}
	}
	return space, closeTarget, nil
}

// openProcess opens a process for a command that looks at it, and says so where the
// number is that of another thread of it.
func (t *target) openProcess(pid int) (*live.Process, error) {
	p, err := live.Open(pid, t.procfs)
	if err == nil && p.PID != pid {
		t.errorf("%d is a thread of process %d: bt looks at the process", pid, p.PID)
	}
	return p, err
}

// mapsOf reads the maps of a process.
func mapsOf(p *live.Process) (*maps.Map, error) {
	text, err := p.Maps()
	if err != nil {
		return nil, err
	}
	m, err := maps.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", p.PID, err)
	}
	return m, nil
}

// maxSaved bounds a file of saved maps in bytes: a process with a million mappings
// has about 150 MB of them.
const maxSaved = 256 << 20

// readSaved reads a file of saved maps, which can be a pipe.
func readSaved(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSaved+1))
	if err == nil && len(b) > maxSaved {
		err = fmt.Errorf("%s: more than %d MiB: not a copy of /proc/PID/maps", name, maxSaved>>20)
	}
	return b, err
}

// savedProcfs reports whether --procfs is a saved copy: files, and no process
// behind them.
func (t *target) savedProcfs() bool {
	var st unix.Statfs_t
	return unix.Statfs(t.procfs, &st) == nil && st.Type != unix.PROC_SUPER_MAGIC
}

// reportSpace is the address space of a self-contained report.
func (a *rootCommand) reportSpace(text []byte, head lines.Head) (lines.Space, error) {
	m, err := maps.Parse(text)
	if err != nil {
		return nil, err
	}
	ids := make(map[string][]byte, len(head.BuildIDs))
	escaped := make(map[string]string)
	for _, id := range head.BuildIDs {
		if b, err := hex.DecodeString(id.ID); err == nil {
			ids[id.Path] = b
			// The kernel writes a newline in its own way, which maps undoes.
			escaped[strings.ReplaceAll(escape.Text(id.Path), `\x0a`, "\n")] = id.Path
		}
	}
	// The maps lines of a report have control characters escaped, which the
	// kernel's own have not: the build-id lines tell which path is meant.
	for i := range m.Entries {
		if path, ok := escaped[m.Entries[i].Path]; ok {
			m.Entries[i].Path = path
		}
	}
	var symbols []symbolize.GateSymbol
	for _, s := range head.GateSymbols {
		symbols = append(symbols, symbolize.GateSymbol(s))
	}
	names := a.session().Names(m)
	names.GateSymbols = symbols
	return a.newSpace(savedSpace(m, a.sysroot, ids, a.session().Images), names), nil
}

// newSpace names the addresses of a space for stream.
func (a *rootCommand) newSpace(space *image.Space, names symbolize.Options) lines.Space {
	sym, err := symbolize.New(space, names)
	a.gateProblem(err)
	return &mappedSpace{Symbolizer: sym, space: space, wordSize: space.PtrSize()}
}

// mappedSpace is an address space for lines.
type mappedSpace struct {
	*symbolize.Symbolizer
	space    *image.Space
	wordSize int
}

func (s *mappedSpace) WordSize() int { return s.wordSize }

func (s *mappedSpace) Locate(name string, off uint64) (uint64, bool) {
	return s.space.Resolve(name, off)
}

// imageSpace is the link-time addresses of one ELF file for lines.
type imageSpace struct {
	path string
	im   *image.Image
	sym  *symbolize.Symbolizer
}

func (s *imageSpace) Frames(frames []stack.Frame) { s.sym.InImage(s.im, frames) }

func (s *imageSpace) WordSize() int { return s.im.PtrSize() }

func (s *imageSpace) Locate(name string, off uint64) (uint64, bool) {
	return off, name == s.path || path.Base(name) == filepath.Base(s.path)
}

// bulkBytes is lines.Options.BulkBytes for a space. What takes the time for each lot of
// addresses is to go through the debug information, so that with little of it the
// lots can be small.
func bulkBytes(space lines.Space) int {
	const (
		least = 2 << 20
		share = 8 // of the size of the debug information
	)
	s, ok := space.(*imageSpace)
	if !ok {
		return 0
	}
	info, ok := s.im.SectionSize(".debug_info")
	if !ok {
		return 0 // it is elsewhere
	}
	table, _ := s.im.SectionSize(".debug_line")
	return least + int(min(info+table, 1<<40)/share)
}

// lineSpace is a space whose source lines are found for many addresses at once. It
// implements lines.Bulk.
type lineSpace struct {
	lines.Space
	find func(n int, frame func(i int) (pc uint64, exact bool)) *symbolize.Lines
}

func (s *lineSpace) Find(n int, frame func(i int) (pc uint64, exact bool)) lines.Found {
	return s.find(n, frame)
}

// withLines returns space as one that finds lines, if lines are wanted.
func (a *rootCommand) withLines(space lines.Space) lines.Space {
	if wanted, _ := a.lines(); !wanted {
		return space
	}
	switch s := space.(type) {
	case *mappedSpace:
		return &lineSpace{s, s.LinesOf}
	case *imageSpace:
		return &lineSpace{s, func(n int, frame func(i int) (pc uint64, exact bool)) *symbolize.Lines {
			return s.sym.ImageLinesOf(s.im, n, frame)
		}}
	}
	return space
}
