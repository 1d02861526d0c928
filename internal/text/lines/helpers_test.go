package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// testSpace names each address by what the space was made of.
type testSpace struct{ tag string }

func (s testSpace) Frames(frames []stack.Frame) {
	for i := range frames {
		f := &frames[i]
		f.Names = append(f.Names[:0], stack.Name{Symbol: s.tag})
	}
}

func (testSpace) WordSize() int { return 8 }

// testBulk is testSpace for many addresses at once.
type testBulk struct{ testSpace }

func (s testBulk) Find(n int, frame func(i int) (pc uint64, exact bool)) Found {
	if n > MaxBulk {
		panic("too many addresses")
	}
	f := testFound{space: s.testSpace}
	for i := range n {
		pc, exact := frame(i)
		f.all = append(f.all, stack.Frame{PC: pc, Exact: exact})
	}
	return &f
}

type testFound struct {
	space testSpace
	all   []stack.Frame
}

func (f *testFound) Frames(frames []stack.Frame, first int) {
	for i := range frames {
		if want := &f.all[first+i]; frames[i].PC != want.PC || frames[i].Exact != want.Exact {
			panic("another address than was looked up")
		}
	}
	f.space.Frames(frames)
}

// newTestBulk is newTestSpace with testBulk.
func newTestBulk(text []byte, head Head) (Space, error) {
	s, err := newTestSpace(text, head)
	if err != nil {
		return nil, err
	}
	return testBulk{s.(testSpace)}, nil
}

// each makes an Options.Append of a function that answers one address.
func each(one func(dst []byte, f *stack.Frame, wordSize int) []byte) func(dst []byte, frames []stack.Frame, wordSize, limit int) ([]byte, int) {
	return func(dst []byte, frames []stack.Frame, wordSize, limit int) ([]byte, int) {
		for i := range frames {
			if dst = one(dst, &frames[i], wordSize); len(dst) >= limit {
				return dst, i + 1
			}
		}
		return dst, len(frames)
	}
}

// appendTest answers with the address, its kind, and the name.
func appendTest(dst []byte, f *stack.Frame, wordSize int) []byte {
	dst = appendRaw(dst, f, wordSize)
	if len(f.Names) == 0 {
		return dst
	}
	dst[len(dst)-1] = ' '
	if f.Exact {
		dst = append(dst, "exact"...)
	} else {
		dst = append(dst, "ret"...)
	}
	dst = append(append(dst, f.Names[0].Symbol...), '\n')
	if f.PC == 0x77 { // an answer of several lines
		dst = append(dst, strings.Repeat("more\n", 20)...)
	}
	return dst
}

// appendRaw appends an address alone.
func appendRaw(dst []byte, f *stack.Frame, _ int) []byte {
	const digits = "0123456789abcdef"
	for i := range 16 {
		dst = append(dst, digits[f.PC>>(60-4*i)&15])
	}
	return append(dst, '\n')
}

func (s testSpace) Locate(module string, off uint64) (uint64, bool) {
	switch module {
	case "libc.so.6":
		return 0x1000 + off, true
	case "/usr/bin/my prog":
		return 0x2000 + off, true
	}
	return 0, false
}

var errSpace = errors.New("no space from these maps")

// newTestSpace makes a space whose answers show which maps lines and build IDs
// it was made from.
func newTestSpace(text []byte, head Head) (Space, error) {
	if bytes.Contains(text, []byte("/refuse")) {
		return nil, errSpace
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		panic("maps text without a newline at its end")
	}
	tag := ""
	for l := range strings.Lines(string(text)) {
		tag += " " + l[:strings.IndexByte(l, '-')]
	}
	for _, id := range head.BuildIDs {
		tag += fmt.Sprintf(" %s=%q", id.ID, id.Path)
	}
	for _, s := range head.GateSymbols {
		tag += fmt.Sprintf(" %x+%x=%q", s.Addr, s.Size, s.Name)
	}
	return testSpace{tag}, nil
}

var smallLimits = limits{chunk: 64, flush: 100, maxLine: 200, maxHead: 1 << 20}

var defaultLimits = limits{chunk: defaultChunk, flush: defaultFlush, maxLine: defaultMaxLine, maxHead: 1 << 20}

// Patterns of the reference implementation.
var (
	reHexLine    = regexp.MustCompile(`^(?:(?:0[xX])?[0-9a-fA-F]{1,16}[ \t]*(?:[ \t]|$))+$`)
	reFrame      = regexp.MustCompile(`(?s)^(?:0[xX])?([0-9a-fA-F]{1,16})[ \t]+(?:<.*>|\(.*\)|\[.*\])`)
	reInlined    = regexp.MustCompile(`(?s)^(?:0[xX])?[0-9a-fA-F]{1,16}(?:[ \t].*)?(?: \(inlined\)$|> \(inlined\))`)
	reLanguage   = regexp.MustCompile(`(?s)^(?:0[xX])?[0-9a-fA-F]{1,16}[ \t]+<.*>.*:(?:[0-9]+|\?) \((?:python|js|java)\)$`)
	reOffset     = regexp.MustCompile(`\+0x[0-9a-fA-F]{1,17}>`)
	reGlibc      = regexp.MustCompile(`(?s)^(?:.*\(.*\)[ \t]*)?\[(?:0[xX]([0-9a-fA-F]{1,16})|\(nil\))\]$`)
	reModule     = regexp.MustCompile(`(?s)^(.+)\+0[xX]([0-9a-fA-F]{1,16})$`)
	reBuildID    = regexp.MustCompile(`(?s)^# build-id ([0-9a-fA-F]+) (.+)$`)
	reGateSymbol = regexp.MustCompile(`(?s)^# gate-symbol ((?:0[xX])?[0-9a-fA-F]{1,16}) ((?:0[xX])?[0-9a-fA-F]{1,16}) ([^\\]+)$`)
	reEscape     = regexp.MustCompile(`\\(?:\\|x[0-9a-fA-F]{2})`)
)

// reference is Run without chunks, goroutines or speed: one line at a time.
func reference(in []byte, o Options, maxLine int) (string, Result, error) {
	var out strings.Builder
	var res Result
	space := o.Space
	var mapsText []byte
	var head Head
	thread, left, addressed := false, 0, false

	hex := func(s string) uint64 {
		if len(s) > 1 && (s[1] == 'x' || s[1] == 'X') {
			s = s[2:]
		}
		v, err := strconv.ParseUint("0"+s, 16, 64)
		if err != nil {
			panic(err)
		}
		return v
	}
	number := 0
	for raw := range strings.Lines(string(in)) {
		number++
		body := strings.TrimSuffix(raw, "\n")
		long := len(body) > maxLine
		if long {
			body = body[:maxLine+1] // no more of it is looked at
		}
		malformed := func() {
			if res.Malformed == 0 {
				text := raw[:min(len(raw), excerptLen)]
				if long {
					text = text[:min(len(text), len(body))]
				}
				res.FirstMalformed = Line{number, strings.TrimRight(text, "\r\n")}
			}
			res.Malformed++
			out.WriteString(raw)
		}
		next := func() bool {
			if left > 0 {
				left--
				return true
			}
			return !thread && !o.ReturnAddresses
		}
		need := func() error {
			if addressed {
				return nil
			}
			addressed = true
			var err error
			if o.Space == nil && o.NewSpace != nil && len(mapsText) > 0 {
				space, err = o.NewSpace(mapsText, head)
				mapsText, head = nil, Head{}
			}
			return err
		}
		answer := func(v uint64, exact bool) {
			if space == nil {
				res.NoSpace = true
				fmt.Fprintf(&out, "%016x\n", v)
				return
			}
			f := []stack.Frame{{PC: v, Exact: exact}}
			space.Frames(f)
			answer, _ := o.Append(nil, f, space.WordSize(), 1)
			out.Write(answer)
		}

		text := strings.TrimLeft(strings.TrimSuffix(body, "\r"), " \t")
		t := strings.TrimRight(text, " \t")
		if strings.HasPrefix(text, "#") {
			if m := reBuildID.FindStringSubmatch(text); m != nil && !long {
				if o.Space == nil {
					path := reEscape.ReplaceAllStringFunc(m[2], func(e string) string {
						if e == `\\` {
							return `\`
						}
						return string([]byte{byte(hex(e[2:]))})
					})
					head.BuildIDs = append(head.BuildIDs, BuildID{Path: path, ID: m[1]})
				}
				continue
			}
			if m := reGateSymbol.FindStringSubmatch(text); m != nil && !long {
				if o.Space == nil {
					head.GateSymbols = append(head.GateSymbols, GateSymbol{hex(m[1]), hex(m[2]), m[3]})
				}
				continue
			}
			switch f := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }); {
			case len(f) < 2 || f[0] != "#" || !strings.HasPrefix(text, "# "+f[1]):
			case f[1] == "thread":
				thread, left = true, 1
			case f[1] == "process":
				thread, left = false, 0
			case f[1] == "signal":
				left = 2
			}
			out.WriteString(raw)
			continue
		}
		if long {
			malformed()
			continue
		}
		if maps.IsLine([]byte(text)) {
			if _, err := maps.ParseLine([]byte(text)); err == nil {
				if addressed {
					addressed, thread, left = false, false, 0
				}
				mapsText = append(append(mapsText, text...), '\n')
				continue
			}
		}
		fields := strings.FieldsFunc(t, func(r rune) bool { return r == ' ' || r == '\t' })
		frame, glibc, mod := reFrame.FindStringSubmatch(t), reGlibc.FindStringSubmatch(t), reModule.FindStringSubmatch(t)
		switch {
		case t == "":
			out.WriteString(raw)
		case reHexLine.MatchString(t):
			if err := need(); err != nil {
				return out.String(), res, err
			}
			for _, f := range fields {
				answer(hex(f), next())
			}
		case frame != nil && reInlined.MatchString(t):
		case reLanguage.MatchString(t) && !reOffset.MatchString(t):
			out.WriteString(raw)
		case frame != nil, glibc != nil:
			if err := need(); err != nil {
				return out.String(), res, err
			}
			if frame != nil {
				answer(hex(frame[1]), next())
			} else {
				answer(hex(glibc[1]), next())
			}
		case mod != nil:
			if err := need(); err != nil {
				return out.String(), res, err
			}
			exact := next()
			if space == nil {
				res.NoSpace = true
				malformed()
			} else if v, ok := space.Locate(mod[1], hex(mod[2])); ok {
				answer(v, exact)
			} else {
				malformed()
			}
		default:
			malformed()
		}
	}
	return out.String(), res, nil
}

// splitReader returns the input in pieces of the given sizes, in turn.
type splitReader struct {
	data  []byte
	sizes []int
	i     int
	err   error // at the end, with the last piece; nil: io.EOF alone
}

func (r *splitReader) Read(b []byte) (int, error) {
	n := min(r.sizes[r.i%len(r.sizes)], len(b), len(r.data))
	r.i++
	copy(b, r.data[:n])
	r.data = r.data[n:]
	if len(r.data) == 0 {
		if r.err != nil {
			return n, r.err
		}
		if n == 0 {
			return 0, io.EOF
		}
	}
	return n, nil
}

// check compares a run with the reference.
func check(t *testing.T, in []byte, sizes []int, o Options, lim limits) {
	t.Helper()
	want, wantRes, wantErr := reference(in, o, lim.maxLine)
	var out bytes.Buffer
	res, err := run(&splitReader{data: in, sizes: sizes}, &out, o, lim)
	if out.String() != want || res != wantRes || err != wantErr {
		t.Fatalf("input %q, reads of %v, %d workers:\ngot  %q %+v %v\nwant %q %+v %v",
			clip(in), sizes[:min(len(sizes), 20)], o.Workers, clip(out.Bytes()), res, err, clip([]byte(want)), wantRes, wantErr)
	}
}

func clip(b []byte) []byte {
	if len(b) > 4000 {
		return slices.Concat(b[:2000], []byte("…"), b[len(b)-2000:])
	}
	return b
}
