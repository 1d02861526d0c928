package addr2line

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// File is the file whose addresses are looked up.
type File struct {
	Image   *image.Image
	Symbols *symbolize.Symbolizer // with lines
}

// ErrNoSection means that the file has no section of the name given.
var ErrNoSection = errors.New("cannot find section")

// maxBatch is how many lines of input are looked up together at most.
const maxBatch = 1 << 16

// inputSize is how much input is read at once, in bytes.
const inputSize = 1 << 20

// Run looks up o.Addrs, or else what the lines of in hold, and writes to out. What
// has been read is answered before more is waited for.
func (f *File) Run(in io.Reader, out io.Writer, o Options) error {
	p := printer{file: f, o: o}
	if o.Section != "" {
		s, ok := f.Image.Section(o.Section)
		if !ok {
			return fmt.Errorf("%w %s", ErrNoSection, o.Section)
		}
		p.base = s.Addr
	}
	if len(o.Addrs) > 0 {
		for _, a := range o.Addrs {
			p.addrs = append(p.addrs, f.parse(a))
		}
		_, err := out.Write(p.answer())
		return err
	}
	r := bufio.NewReaderSize(in, inputSize)
	for {
		line, err := readLine(r)
		if err == nil || line != "" {
			p.addrs = append(p.addrs, f.parse(line))
		}
		if err == nil && len(p.addrs) < maxBatch && wholeLine(r) {
			continue
		}
		if answer := p.answer(); len(answer) > 0 {
			if _, err := out.Write(answer); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// wholeLine reports whether another line has been read already.
func wholeLine(r *bufio.Reader) bool {
	b, _ := r.Peek(r.Buffered())
	return strings.IndexByte(string(b[:min(len(b), maxLine)]), '\n') >= 0 || len(b) >= maxLine
}

// maxLine is the length of the buffer that binutils reads a line into: what is
// longer counts as several.
const maxLine = 100

func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for len(line) < maxLine-1 {
		c, err := r.ReadByte()
		if err != nil {
			return string(line), err
		}
		if line = append(line, c); c == '\n' {
			break
		}
	}
	return string(line), nil
}

// parse reads an address: a hexadecimal number, of which what follows does not
// count, or a symbol, or SYMBOL+OFFSET. What is none of these is 0.
func (f *File) parse(s string) uint64 {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	digits := s
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		digits = s[2:]
	}
	n := 0
	for n < len(digits) && strings.IndexByte("0123456789abcdefABCDEF", digits[n]) >= 0 {
		n++
	}
	if n == 0 {
		return f.symbol(strings.TrimRight(s, "\n"))
	}
	v, err := strconv.ParseUint(digits[:n], 16, 64)
	if err != nil {
		return ^uint64(0) // as strtoul does
	}
	return v
}

// symbol returns the value of SYMBOL or SYMBOL+OFFSET, 0 if there is none.
func (f *File) symbol(s string) (v uint64) {
	name, offset, _ := strings.Cut(s, "+")
	n, _ := strconv.ParseUint(offset, 0, 64)
	if name == "" {
		return n
	}
	f.Image.Named(func(sym elfsym.Symbol) bool {
		if sym.Name == name {
			v = sym.Value + n
		}
		return v == 0
	})
	return v
}

// printer answers addresses.
type printer struct {
	file  *File
	o     Options
	base  uint64 // of Options.Section
	addrs []uint64
	names []stack.Name
	out   []byte
}

// answer returns the answers to p.addrs, and empties that.
func (p *printer) answer() []byte {
	p.out = p.out[:0]
	if len(p.addrs) == 0 {
		return p.out
	}
	frame := func(i int) (uint64, bool) { return p.addrs[i] + p.base, true }
	lines := p.file.Symbols.ImageLinesOf(p.file.Image, len(p.addrs), frame)
	for i := range p.addrs {
		p.one(lines, i)
	}
	p.addrs = p.addrs[:0]
	return p.out
}

// one appends the answer to one address.
func (p *printer) one(lines *symbolize.Lines, i int) {
	if p.o.Addresses {
		p.out = fmt.Appendf(p.out, "0x%0*x", 2*p.file.Image.PtrSize(), p.addrs[i])
		if p.o.Pretty {
			p.out = append(p.out, ": "...)
		} else {
			p.out = append(p.out, '\n')
		}
	}
	p.names = lines.Names(p.names[:0], i)
	if len(p.names) == 0 || p.names[len(p.names)-1].Symbol == "" || !lines.Linkage(i) {
		p.bySymbol(p.addrs[i] + p.base)
	}
	if len(p.names) == 0 {
		p.function("")
		p.out = append(p.out, "??:0\n"...)
		return
	}
	discriminator := lines.Discriminator(i)
	for i := range p.names {
		n := &p.names[i]
		if i > 0 && p.o.Pretty {
			p.out = append(p.out, " (inlined by) "...)
		}
		p.function(n.Symbol)
		p.place(n, discriminator)
		if !p.o.Inlines {
			break
		}
	}
}

// bySymbol names an address by the symbol table, where debug information does
// not name the function.
func (p *printer) bySymbol(addr uint64) {
	frames := []stack.Frame{{PC: addr, Exact: true}}
	p.file.Symbols.InImage(p.file.Image, frames)
	f := frames[0].Function()
	switch {
	case f == nil || f.Symbol == "" || strings.HasSuffix(f.Symbol, "@plt"):
	case len(p.names) == 0:
		n := *f
		n.File, n.Line = p.file.Image.SourceFile(addr), 0
		p.names = append(p.names, n)
	case strings.HasPrefix(f.Symbol, p.names[len(p.names)-1].Symbol+"."):
		// A part of the function, such as main.cold: the function's name it is.
	default:
		p.names[len(p.names)-1].Symbol = f.Symbol
	}
}

func (p *printer) function(name string) {
	if !p.o.Functions {
		return
	}
	known := name != ""
	if !known {
		name = "??"
	}
	p.out = append(p.out, name...)
	switch {
	case !p.o.Pretty:
		p.out = append(p.out, '\n')
	case known || len(p.names) > 0:
		p.out = append(p.out, " at "...)
	default:
		p.out = append(p.out, ' ')
	}
}

// place appends a place. binutils prints the discriminator of the address for the
// places of inlined calls as well.
func (p *printer) place(n *stack.Name, discriminator uint32) {
	file := n.File
	if p.o.Basenames {
		file = file[strings.LastIndexByte(file, '/')+1:]
	}
	if file == "" {
		file = "??"
	}
	p.out = append(append(p.out, file...), ':')
	if n.Line == 0 {
		p.out = append(p.out, "?\n"...)
		return
	}
	p.out = strconv.AppendInt(p.out, int64(n.Line), 10)
	if discriminator != 0 {
		p.out = fmt.Appendf(p.out, " (discriminator %d)", discriminator)
	}
	p.out = append(p.out, '\n')
}
