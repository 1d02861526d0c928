package annotate

import (
	"bytes"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gatedso/bt/stack"
)

// everything names all that a form takes for an address.
type everything struct{ narrow bool }

func (e everything) bits32() bool { return e.narrow }

func (everything) find(q *query, w *worker, room *room) *stack.Frame {
	return q.choose(w, nil, 0, func(exact bool) *stack.Frame {
		f := &room.frame(q.addr, exact)[0]
		n := stack.Name{Symbol: mark, Offset: q.addr + q.off}
		if exact && !q.exact {
			n.Symbol, n.Offset = "__restore_rt", n.Offset%2
		}
		f.Names = append(f.Names[:0], n)
		return f
	})
}

// mark is in no input.
const mark = "«inserted»"

var inserted = regexp.MustCompile(` <(«inserted»|__restore_rt)\+0x[0-9a-f]+>`)

// checkText checks what holds for every text: without what is inserted it is
// the text, and it does not matter how it arrives.
func checkText(t *testing.T, in []byte, o Options) {
	t.Helper()
	if bytes.Contains(in, []byte("«")) || bytes.Contains(in, []byte("__restore_rt+")) {
		return
	}
	var first string
	for i, r := range []io.Reader{bytes.NewReader(in), bytes.NewReader(in), iotest.OneByteReader(bytes.NewReader(in)), iotest.HalfReader(bytes.NewReader(in))} {
		o.Workers = 1 + i%3
		out := runFrom(t, o, r)
		if i == 0 {
			first = out
			if rest := inserted.ReplaceAllString(out, ""); rest != string(in) {
				t.Fatalf("%q becomes %q, which is another text", in, out)
			}
		} else if out != first {
			t.Fatalf("%q becomes %q in pieces, and %q at once", in, out, first)
		}
	}
}

// samples returns texts with every form.
func samples() []string {
	return []string{
		"#1  0x0000000000401200 in ?? () from /lib/x.so\n<signal handler called>\n#2  0x401200\n",
		"    #0 0x7f0000001200  (/lib/x.so+0x1200) (BuildId: 0011)\n",
		"#0  0x00007f0000001200 n/a (libfoo.so + 0x1200)\n",
		"./prog(+0x1200) [0x401200]\n/lib/x.so(f+0x1)[0x7f0000001200]\n",
		"  Binary file \"/lib/x.so\", at +0x1234 [0x7fff]\n",
		"      #00 pc 0000000000001200  /lib/x.so (BuildId: 00)\n",
		"==12==    at 0x401200: ??? (in /bin/prog)\n   0:     0x7f0000001200 - <unknown>\n    @ 0x401200 (unknown)\n",
		"\t          401200 [unknown] (/bin/prog)\n\t 7f0000001200 [unknown] (/lib/x.so)\n",
		"# C  [x.so+0x1200]\nC  [x.so+0x1200]\nC  [x.so+0x1200]\n",
		"# thread 1\n0000000000401200\n0000000000401200\n# signal\n0000000000401200\n0000000000401200\n0000000000401200\n",
		"p[1]: segfault at 0 ip 00007fff00001200 sp 0 error 4 in x.so[1200,7fff00001000+2000] likely\n",
		"traps: p[1] trap ip:401200 sp:7ffe error:0 in x.so[401000+2000]\r\n",
		"\x1b[1;31m7f0000001200\x1b[0m \x1b[34m0x401200\x1b[m \x1b[2K0x\x1b[31m401200",
		sampleMaps, "see /lib/x.so+0x1234, 0x401200",
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s), false)
	}
	root := sysroot(f)
	f.Fuzz(func(t *testing.T, in []byte, narrow bool) {
		checkText(t, in, Options{Target: everything{narrow}})
		// Without a target: whatever files the text names.
		o := Options{Sysroot: root, Names: names}
		out := runFrom(t, o, bytes.NewReader(in))
		if len(out) < len(in) {
			t.Fatalf("%q becomes %q, which is shorter", in, out)
		}
	})
}

// TestAnyText cuts and mixes the samples.
func TestAnyText(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	all := []byte(strings.Join(samples(), ""))
	for range 500 {
		var in []byte
		for range 1 + rnd.IntN(12) {
			from := rnd.IntN(len(all))
			in = append(in, all[from:from+rnd.IntN(min(60, len(all)-from)+1)]...)
			switch rnd.IntN(6) {
			case 0:
				in = append(in, '\n')
			case 1:
				in = append(in, byte(2+rnd.IntN(254)))
			}
		}
		checkText(t, in, Options{Target: everything{rnd.IntN(2) == 0}})
	}
}

// TestBoundaries has chunks of the reader end everywhere in a stack whose kinds
// of addresses depend on what is above.
func TestBoundaries(t *testing.T) {
	root := sysroot(t)
	o := Options{Target: mapped(t, root, sampleMaps)}
	var in strings.Builder
	in.WriteString("# thread 1\n")
	for range 8 {
		in.WriteString(strings.Repeat("0000000000401200\n", 1500))
		in.WriteString("# signal\n")
	}
	in.WriteString(strings.Repeat("#1  0x401300\n#2  0x401200\n", 8000))
	in.WriteString(strings.Repeat("\t   401200 [unknown] (/bin/prog)\n", 8000))
	want := run(t, o, in.String())
	for pad := range 40 {
		// What is before it moves the boundaries.
		prefix := strings.Repeat("x", pad) + "\n"
		o.Workers = 2
		got := runFrom(t, o, strings.NewReader(prefix+in.String()))
		if got != prefix+want {
			t.Fatalf("behind %d bytes the text is named otherwise", pad)
		}
	}
	if n := strings.Count(want, "<second+0x0>"); n != 1+2*7+8000+1 {
		t.Errorf("%d addresses are exact, want %d", n, 1+2*7+8000+1)
	}
}
