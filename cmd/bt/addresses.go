package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/text/lines"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// addresses names addresses: the given ones, or those on standard input.
func (a *app) addresses(out *output, pids []int, addrs []uint64, fromStdin bool) error {
	o := lines.Options{ReturnAddresses: a.returns}
	var closeTarget func()
	var err error
	if o.Space, closeTarget, err = a.openTarget(out, pids); err != nil {
		return err
	}
	defer closeTarget()
	o.Space = withLines(o.Space)
	o.Bulk, _ = a.lines()
	if o.Space == nil {
		o.NewSpace = func(text []byte, head lines.Head) (lines.Space, error) {
			space, err := a.reportSpace(out, text, head)
			return withLines(space), err
		}
	}
	if !fromStdin {
		var dst []byte
		for _, addr := range addrs {
			dst = o.Space.Answer(dst, addr, !a.returns)
		}
		_, err := out.Write(dst)
		return err
	}
	out.follow(a.stdin)
	res, err := lines.Run(a.stdin, out, o)
	if res.NoSpace {
		a.incomplete("addresses without a target: give --pid, --core, --maps or --exe, or maps lines before the addresses")
	}
	if res.Malformed > 0 {
		a.incomplete("line %d is no address: %q (%d such lines passed through)", res.FirstMalformed.Number, res.FirstMalformed.Text, res.Malformed)
	}
	return err
}

// openTarget opens what the target flags name, for its addresses: a mappedSpace
// or an imageSpace; nil when they name none. The caller closes it.
func (a *app) openTarget(out *output, pids []int) (space lines.Space, closeTarget func(), err error) {
	closeTarget = func() {}
	switch {
	case len(pids) > 0 && a.savedProcfs():
		m, err := image.ReadMaps(filepath.Join(a.procfs, strconv.Itoa(pids[0]), "maps"))
		if err != nil {
			return nil, nil, err
		}
		space = a.newSpace(out, savedSpace(m, a.sysroot, nil, a.session().Images), a.session().Names(m))
	case len(pids) > 0:
		p, err := live.Open(pids[0], a.procfs)
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
		space = a.newSpace(out, image.NewSpace(m, snapshot.Source(p, a.sysroot), a.session().Images), names)
	case a.core != "":
		c, err := a.openCore()
		if err != nil {
			return nil, nil, err
		}
		closeTarget = c.close
		space = a.newSpace(out, image.NewSpace(c.src.Maps, c.src, a.session().Images), a.session().Names(c.src.Maps))
	case a.mapsFile != "":
		// A saved copy, or what bt maps printed: that has comment lines.
		b, err := os.ReadFile(a.mapsFile)
		if err != nil {
			return nil, nil, err
		}
		text, head := lines.ReadHead(b)
		if space, err = a.reportSpace(out, text, head); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", a.mapsFile, err)
		}
	case a.exe != "":
		im, err := elfsym.OpenPath(a.exe)
		if err != nil {
			return nil, nil, err
		}
		img := image.NewImage(im)
		space = &imageSpace{path: a.exe, im: img, sym: symbolize.NewForImage(a.session().Names(nil)), opts: answerOptions{a.imageOptions(out, img)}}
	}
	return space, closeTarget, nil
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

// savedProcfs reports whether --procfs is a saved copy: files, and no process
// behind them.
func (a *app) savedProcfs() bool {
	var st unix.Statfs_t
	return unix.Statfs(a.procfs, &st) == nil && st.Type != unix.PROC_SUPER_MAGIC
}

// reportSpace is the address space of a self-contained report.
func (a *app) reportSpace(out *output, text []byte, head lines.Head) (lines.Space, error) {
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
	return a.newSpace(out, savedSpace(m, a.sysroot, ids, a.session().Images), names), nil
}

// newSpace names the addresses of a space for stream.
func (a *app) newSpace(out *output, space *image.Space, names symbolize.Options) lines.Space {
	sym, err := symbolize.New(space, names)
	a.gateProblem(err)
	opts := a.renderOptions(out)
	opts.PtrSize = space.PtrSize()
	ms := &mappedSpace{space: space, sym: sym, opts: answerOptions{opts}}
	if a.verbose {
		ms.note = a.errorf
	}
	return ms
}

func (a *app) imageOptions(out *output, im *image.Image) render.Options {
	opts := a.renderOptions(out)
	opts.PtrSize = im.PtrSize()
	return opts
}

// answerOptions are how answers are printed.
type answerOptions struct{ render.Options }

// rawOnFault appends what answer does, or addr alone where its name went away:
// names are read from mapped files, and someone can truncate those.
func (o *answerOptions) rawOnFault(dst []byte, addr uint64, answer func() []byte) (out []byte) {
	err := guard.Read(func() error {
		out = answer()
		return nil
	})
	if err != nil {
		return o.AppendFrame(dst, addr, nil)
	}
	return out
}

// appendAll appends frames until dst is at least limit bytes long, and returns
// the number of those appended. It reports false where a name went away.
func (o *answerOptions) appendAll(dst []byte, addrs []uint64, names []symbolize.Name, limit int) (out []byte, n int, ok bool) {
	err := guard.Read(func() error {
		for n < len(addrs) && (n == 0 || len(dst) < limit) {
			dst = o.AppendFrame(dst, addrs[n], &names[n])
			n++
		}
		return nil
	})
	return dst, n, err == nil
}

// mappedSpace answers addresses of an address space.
type mappedSpace struct {
	space *image.Space
	sym   *symbolize.Symbolizer
	opts  answerOptions
	note  func(format string, args ...any) // for --verbose; else nil
}

func (s *mappedSpace) Answer(dst []byte, addr uint64, exact bool) (out []byte) {
	if s.opts.Raw {
		return s.opts.AppendFrame(dst, addr, nil)
	}
	return s.opts.rawOnFault(dst, addr, func() []byte {
		n := s.sym.Name(addr, exact)
		if s.note != nil {
			s.note("%s %s", s.opts.AppendAddr(nil, addr), render.Explain(&n))
		}
		return s.opts.AppendFrame(dst, addr, &n)
	})
}

// AnswerAll implements lines.Batcher.
func (s *mappedSpace) AnswerAll(dst []byte, addrs []uint64, exact bool, limit int) ([]byte, int) {
	var names [symbolize.MaxBatch]symbolize.Name
	if !s.opts.Raw && s.note == nil && s.sym.NameAll(addrs, exact, names[:]) {
		if out, n, ok := s.opts.appendAll(dst, addrs, names[:], limit); ok {
			return out, n
		}
	}
	return s.Answer(dst, addrs[0], exact), 1
}

func (s *mappedSpace) Locate(name string, off uint64) (uint64, bool) {
	return s.space.Resolve(name, off)
}

// imageSpace answers link-time addresses of one ELF file.
type imageSpace struct {
	path string
	im   *image.Image
	sym  *symbolize.Symbolizer
	opts answerOptions
}

func (s *imageSpace) Answer(dst []byte, addr uint64, exact bool) (out []byte) {
	if s.opts.Raw {
		return s.opts.AppendFrame(dst, addr, nil)
	}
	return s.opts.rawOnFault(dst, addr, func() []byte {
		n := s.sym.Image(s.im, addr, exact)
		return s.opts.AppendFrame(dst, addr, &n)
	})
}

// AnswerAll implements lines.Batcher.
func (s *imageSpace) AnswerAll(dst []byte, addrs []uint64, exact bool, limit int) ([]byte, int) {
	var names [symbolize.MaxBatch]symbolize.Name
	if !s.opts.Raw && s.sym.ImageAll(s.im, addrs, exact, names[:]) {
		if out, n, ok := s.opts.appendAll(dst, addrs, names[:], limit); ok {
			return out, n
		}
	}
	return s.Answer(dst, addrs[0], exact), 1
}

func (s *imageSpace) Locate(name string, off uint64) (uint64, bool) {
	return off, name == s.path || path.Base(name) == filepath.Base(s.path)
}
