package lines

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

const (
	mapsA = "00400000-00401000 r-xp 00000000 fe:00 123                  /usr/bin/my prog\n"
	mapsB = "7f0000000000-7f0000001000 r--p 00000000 fe:00 124          /usr/lib/libc.so.6\n"
)

// TestLines gives each form of a line. want holds what follows: "e" and "r" are
// answers for exact and return addresses, anything else is the line itself.
func TestLines(t *testing.T) {
	tests := []struct {
		name, in, want string
		malformed      int
	}{
		{"empty", "", "", 0},
		{"plain", "401136\n", "e:401136", 0},
		{"no newline", "401136", "e:401136", 0},
		{"0x", "0x401136\n0X401136\n", "e:401136 e:401136", 0},
		{"upper case", "ABCDEF\n", "e:abcdef", 0},
		{"16 digits", "ffffffffff600000\n0xffffffffff600000\n", "e:ffffffffff600000 e:ffffffffff600000", 0},
		{"17 digits", "00000000000401136\n", "|00000000000401136\n", 1},
		{"17 digits, 0x", "0x00000000000401136\n", "|0x00000000000401136\n", 1},
		{"0x alone", "0x\n", "|0x\n", 1},
		{"x", "x12\n", "|x12\n", 1},
		{"several", "1 0x2\t3  \n", "e:1 e:2 e:3", 0},
		{"several, one bad", "1 0x2 g\n", "|1 0x2 g\n", 1},
		{"indented", "  \t1\n", "e:1", 0},
		{"crlf", "1\r\n2 3\r\n", "e:1 e:2 e:3", 0},
		{"cr inside", "1\r2\n", "|1\r2\n", 1},
		{"blank", "\n  \t\n\r\n", "|\n  \t\n\r\n", 0},
		{"blank at the end", "1\n ", "e:1 | ", 0},
		{"comment", "# hello \r\n#\n  #indented\n", "|# hello \r\n#\n  #indented\n", 0},
		{"garbage", "hello\n", "|hello\n", 1},
		{"garbage crlf", "hello\r\nwörld\x00\x1b[0m", "|hello\r\nwörld\x00\x1b[0m", 2},
		{"frame", "00007f2b5a0dc6e0 <__libc_start_main+0x3e0>\n", "e:7f2b5a0dc6e0", 0},
		{"frame of 32 bits", "f7f00549 <__kernel_vsyscall+0x9>\n", "e:f7f00549", 0},
		{"frame with columns", "0000000000401136 <main+0x16> /usr/bin/my prog /src/my prog.c:12\n", "e:401136", 0},
		{"C++", "401136 <std::map<int, char>::operator->(int) const+0x1>\n", "e:401136", 0},
		{"frame without symbol", "401136 (libfoo.so+0x1234)\n", "e:401136", 0},
		{"frame without symbol, columns", "401136 (lib foo.so+0x1234) abcdef\n", "e:401136", 0},
		{"frame with a build ID only", "401136 [0123456789abcdef0123456789abcdef01234567]\n", "e:401136", 0},
		{"frame unclosed", "401136 <main+0x16\n401136 (x\n", "|401136 <main+0x16\n401136 (x\n", 2},
		{"frame, other text", "401136 main+16\n", "|401136 main+16\n", 1},
		{"inlined", "401136 <f> a.c:3 (inlined)\n401136 <main+0x16> a.c:9\n", "e:401136", 0},
		{"inlined, columns after it", "401136 <f> (inlined) a.c:3\n401136 <main+0x16> a.c:9\n", "e:401136", 0},
		{"a type named inlined", "401136 <f(inlined)+0x3>\n", "e:401136", 0},
		{"python", "401136 <f> /srv/app.py:7 (python)\n401136 <<module>> /srv/app.py:9 (python)\n401136 <PyEval+0x16>\n",
			"|401136 <f> /srv/app.py:7 (python)\n401136 <<module>> /srv/app.py:9 (python)\n e:401136", 0},
		{"js and java", "401136 <(anonymous)> node:internal/timers:581 (js)\r\n401136 <A.f> A.java:? (java)",
			"|401136 <(anonymous)> node:internal/timers:581 (js)\r\n401136 <A.f> A.java:? (java)", 0},
		{"a module named like a language", "401136 <f+0x1> lib (python)\n401136 <f+0x1> x:7 (python)\n401136 (x:7 (python)\n", "e:401136 e:401136 e:401136", 0},
		{"no place", "401136 <f> (python)\n401136 <f> a.py: (python)\n401136 <f> a.rb:7 (ruby)\n", "e:401136 e:401136 e:401136", 0},
		{"module", "libc.so.6+0x29d90\n", "e:2ad90", 0},
		{"module with a blank", "/usr/bin/my prog+0x12\n", "e:2012", 0},
		{"module without 0x", "libc.so.6+29d90\n", "|libc.so.6+29d90\n", 1},
		{"unknown module", "libd.so.6+0x29d90\n", "|libd.so.6+0x29d90\n", 1},
		{"no module", "+0x29d90\n", "|+0x29d90\n", 1},
		{"module, no offset", "libc.so.6+0x\nlibc.so.6+0x1g\n", "|libc.so.6+0x\nlibc.so.6+0x1g\n", 2},
		{"glibc offset", "prog(+0x1234) [0x55d0c0de1234]\n", "e:55d0c0de1234", 0},
		{"glibc symbol", "/lib/libc.so.6(abort+0x12b) [0x7f0012345678]\n", "e:7f0012345678", 0},
		{"glibc empty", "./a.out() [0x401136]\n", "e:401136", 0},
		{"glibc alone", "[0x7ffd00001000]\n", "e:7ffd00001000", 0},
		{"glibc null", "[(nil)]\n", "e:0", 0},
		{"glibc blanks", "./my prog(f+0x1) [0x401136] \r\n", "e:401136", 0},
		{"glibc no hex", "./a.out() [hello]\n./a.out() [401136]\n[0x12345678123456781]\n",
			"|./a.out() [hello]\n./a.out() [401136]\n[0x12345678123456781]\n", 3},
		{"text before brackets", "at [0x401136]\n", "|at [0x401136]\n", 1},
		{"maps", mapsA + "1\n" + mapsB, "e:1", 0},
		{"maps crlf", strings.ReplaceAll(mapsA, "\n", "\r\n") + "1\r\n", "e:1", 0},
		{"half a maps line", "00400000-00401000 r-xp\n1\n", "|00400000-00401000 r-xp\n e:1", 1},
		{"build-id", "# build-id abcdef /usr/bin/my prog\n1\n", "e:1", 0},
		{"gate symbol", "# gate-symbol f7f075e0 9 __kernel_vsyscall\n1\n", "e:1", 0},
		{"gate symbol without name", "# gate-symbol f7f075e0 9\n# gate-symbol f7f075e0 x y\n", "|# gate-symbol f7f075e0 9\n# gate-symbol f7f075e0 x y\n", 0},
		{"build-id without path", "# build-id abcdef\n# build-id xyz /a\n", "|# build-id abcdef\n# build-id xyz /a\n", 0},
	}
	for _, tt := range tests {
		var want strings.Builder
		for rest := tt.want; rest != ""; {
			rest = strings.TrimPrefix(rest, " ")
			if text, ok := strings.CutPrefix(rest, "|"); ok {
				text, tail, more := strings.Cut(text, " e:")
				want.WriteString(text)
				if rest = ""; more {
					rest = "e:" + tail
				}
				continue
			}
			word, tail, _ := strings.Cut(rest, " ")
			want.WriteString(strings.Repeat("0", 16-len(word[2:])) + word[2:] + " exact\n")
			rest = tail
		}
		for _, workers := range []int{1, 2} {
			o := Options{Append: each(appendTest), Space: testSpace{}, Workers: workers}
			var out bytes.Buffer
			res, err := Run(strings.NewReader(tt.in), &out, o)
			if out.String() != want.String() || err != nil || res.Malformed != tt.malformed {
				t.Errorf("%s, %d workers: %q\ngot  %q, %d malformed, %v\nwant %q, %d malformed",
					tt.name, workers, tt.in, out.String(), res.Malformed, err, want.String(), tt.malformed)
			}
			check(t, []byte(tt.in), []int{7}, o, defaultLimits)
		}
	}
}

func TestKinds(t *testing.T) {
	tests := []struct {
		name, in string
		returns  bool
		want     string // per address: e exact, r return address
	}{
		{"none", "1\n2\n3\n", false, "eee"},
		{"--return-addresses", "1\n2 3\n", true, "rrr"},
		{"thread", "1\n# thread 12 \"a\"\n1\n2\n3\n", false, "eerr"},
		{"thread, --return-addresses", "1\n# thread 12\n1\n2\n3\n", true, "rerr"},
		{"threads", "# thread 12\n1\n2\n# thread 13\n1\n2\n", false, "erer"},
		{"several per line", "# thread 12\n1 2 3\n", false, "err"},
		{"signal", "# thread 12\n1\n2\n# signal SIGUSR1\n3\n4\n5\n", false, "ereer"},
		{"signal first", "# thread 12\n# signal\n1\n2\n3\n", false, "eer"},
		{"nested signals", "# thread 12\n1\n# signal\n2\n# signal\n3\n4\n5\n", false, "eeeer"},
		{"signal without thread", "# signal\n1\n2\n3\n", true, "eer"},
		{"process", "# thread 12\n1\n2\n# process 7 a\n1\n2\n", false, "eree"},
		{"thread without frames", "# thread 12\n# thread 13\n1\n2\n", false, "er"},
		{"other comments", "# threads\n#thread 2\n# end: thread\n1\n2\n", false, "ee"},
		{"word at the end", "# thread\r\n1\n2\n", false, "er"},
		{"blank and garbage between", "# thread 1\n\nhello\n1\n\n2\n", false, "er"},
		{"every form counts", "# thread 1\nlibc.so.6+0x12\n1 <a+0x1>\n", false, "er"},
		{"unknown module counts", "# thread 1\nlibd.so.6+0x12\n1 <a+0x1>\n", false, "r"},
		{"inlined does not", "# thread 1\n1 <b> (inlined)\n1 <a+0x1>\n2 <c+0x3>\n", false, "er"},
		{"languages do not", "# thread 1\n1 <f> a.py:7 (python)\n1 <a+0x1>\n2 <g> A.java:3 (java)\n2 <c+0x3>\n", false, "er"},
		{"another report", "# thread 1\n1\n2\n" + mapsA + "3\n4\n", false, "eree"},
		{"maps behind the thread line", "# thread 1\n" + mapsA + "3\n4\n", false, "er"},
	}
	for _, tt := range tests {
		for _, workers := range []int{1, 2} {
			o := Options{Append: each(appendTest), Space: testSpace{}, ReturnAddresses: tt.returns, Workers: workers}
			var out bytes.Buffer
			if _, err := Run(strings.NewReader(tt.in), &out, o); err != nil {
				t.Fatal(err)
			}
			got := ""
			for l := range strings.Lines(out.String()) {
				switch {
				case strings.HasSuffix(l, " exact\n"):
					got += "e"
				case strings.HasSuffix(l, " ret\n"):
					got += "r"
				}
			}
			if got != tt.want {
				t.Errorf("%s: got %s, want %s:\n%s", tt.name, got, tt.want, out.String())
			}
		}
	}
}

// report is what `bt --pid 1,2 --raw --with-maps` writes, with every kind of
// line in it.
const report = "# process 1 ./a\n" + mapsA + mapsB +
	"# build-id 0123456789abcdef /usr/bin/my prog\n# build-id 00ff /a\\x0ab\\\\c\n# gate-symbol 7ff0 a time\n" +
	"# thread 1 \"a\"\n0000000000401136\n0000000000401137\n# signal SIGUSR1\n1\n2\n3\n# end: no unwind information for (anon)\n" +
	"\n# process 2 ./b\r\n" + mapsB + "# thread 2 \"b\"\n77\n77 <a+0x1>\n 77 77 77\nlibc.so.6+0x12\n" +
	"hello-world\ndead-beef\n12 <a->b+0x1> (inlined)\n./a.out() [0x401136]\n" +
	"a very long line ------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------\n" +
	"# a very long comment -----------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------------\n" +
	"# thread 3\n# build-id abcd /late\n1\n2\n" + mapsA + mapsA + "# build-id ef12 /x\n5\n6\n# signal\n" + mapsB + "7 8 9"

func TestReport(t *testing.T) {
	var out bytes.Buffer
	res, err := Run(strings.NewReader(mapsA+"# build-id ab /x\\x20y\n# thread 1\n1\n2\n"+mapsB+"# thread 2\n1\n2\n"), &out,
		Options{Append: each(appendTest), NewSpace: newTestSpace})
	want := "# thread 1\n" +
		"0000000000000001 exact 00400000 ab=\"/x y\"\n" +
		"0000000000000002 ret 00400000 ab=\"/x y\"\n" +
		"# thread 2\n" +
		"0000000000000001 exact 7f0000000000\n" +
		"0000000000000002 ret 7f0000000000\n"
	if out.String() != want || err != nil || res != (Result{}) {
		t.Errorf("got %+v, %v\n%s\nwant\n%s", res, err, out.String(), want)
	}
}

// TestChunkBorders reads the same input in pieces of every size: what it
// answers must not depend on how it arrives.
func TestChunkBorders(t *testing.T) {
	in := []byte(report)
	for _, workers := range []int{1, 3} {
		for _, o := range []Options{
			{Append: each(appendTest), Workers: workers, NewSpace: newTestSpace},
			{Append: each(appendTest), Workers: workers, NewSpace: newTestBulk},
			{Append: each(appendTest), Workers: workers, Space: testSpace{}, ReturnAddresses: true},
		} {
			for n := 1; n <= len(in); n++ {
				check(t, in, []int{n, len(in)}, o, smallLimits) // a border at n
				if n < 100 {
					check(t, in, []int{n}, o, smallLimits)
				}
				if n%16 == 0 {
					check(t, in[:n], []int{n}, o, defaultLimits)
				}
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			for range 100 {
				sizes := make([]int, 1+rnd.IntN(20))
				for i := range sizes {
					sizes[i] = 1 + rnd.IntN(1+rnd.IntN(200))
				}
				lim := limits{chunk: 1 + rnd.IntN(300), flush: 1 + rnd.IntN(300), maxLine: 1 + rnd.IntN(300), maxHead: 1 << 20}
				check(t, in, sizes, o, lim)
			}
		}
	}
}

// TestRandomLines puts pieces of lines together at random.
func TestRandomLines(t *testing.T) {
	pieces := []string{
		"\n", "\n", "\n", "\r\n", " ", "\t", "1", "0x2", "77", "abcdef", "# ", "#", "thread", "signal", "process 1",
		"1\n2\n0x77\n", strings.Repeat("12\n", 2*batch+2), "# thread 1\n", "# signal\n", "# process\n", "# build-id ", "ab ", "/x\\x41\\", "<a+0x1>", "(b+0x2)", "[0x12]",
		"[(nil)]", "(inlined)", "1 <f> a.py:7 (python)\n", " a:1 (js)\n", "1 <", "> (inlined)", "a.out", "()", "+0x", "libc.so.6", "libc.so.6+0x3\n", mapsA, mapsB,
		"1-2 r-xp", " 00000000 fe:00 123 /a", "-", "\x00", "\xff", "1 <a>\n", "12345678123456781", "]", ")", ">",
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 5_000 {
		var in []byte
		for range 1 + rnd.IntN(40) {
			in = append(in, pieces[rnd.IntN(len(pieces))]...)
		}
		o := Options{Append: each(appendTest), Workers: 1 + rnd.IntN(3), ReturnAddresses: rnd.IntN(2) == 0, NewSpace: newTestSpace}
		switch rnd.IntN(6) {
		case 0:
			o.Space = testSpace{}
		case 1:
			o.Space = testBulk{}
		case 2, 3:
			o.NewSpace = newTestBulk
		}
		lim := limits{chunk: 1 + rnd.IntN(100), flush: 1 + rnd.IntN(300), maxLine: 1 + rnd.IntN(200), maxHead: 1 << 20}
		check(t, in, []int{1 + rnd.IntN(50), 1 + rnd.IntN(200)}, o, lim)
		if round%10 == 0 {
			checkBulk(t, in, o)
		}
	}
}

// checkBulk compares the answers to addresses that are looked up together with those
// to addresses one by one.
func checkBulk(t *testing.T, in []byte, o Options) {
	t.Helper()
	var outs [2]bytes.Buffer
	var sums [2]Result
	for i, bulk := range []bool{false, true} {
		o.Bulk = bulk
		var err error
		lim := limits{chunk: 1 << 10, flush: 100, maxLine: 8 << 10, maxHead: 1 << 20, bulk: 8 << 10}
		if sums[i], err = run(bytes.NewReader(in), &outs[i], o, lim); err != nil && err != errSpace {
			t.Fatal(err)
		}
	}
	if outs[0].String() != outs[1].String() || sums[0] != sums[1] {
		t.Fatalf("%q: answered %q together, %q one by one (%+v, %+v)", in, &outs[1], &outs[0], sums[1], sums[0])
	}
}

func TestNoSpace(t *testing.T) {
	for _, o := range []Options{{Append: each(appendTest)}, {Append: each(appendTest), NewSpace: newTestSpace}} {
		var out bytes.Buffer
		res, err := Run(strings.NewReader("# c\n401136\n0x12 <a+0x1>\nlibc.so.6+0x1\n"), &out, o)
		want := "# c\n0000000000401136\n0000000000000012\nlibc.so.6+0x1\n"
		if out.String() != want || err != nil || !res.NoSpace || res.FirstMalformed != (Line{4, "libc.so.6+0x1"}) {
			t.Errorf("got %q, %+v, %v", out.String(), res, err)
		}
	}
	res, err := Run(strings.NewReader("# c\n"+mapsA), &bytes.Buffer{}, Options{Append: each(appendTest)})
	if err != nil || res != (Result{}) {
		t.Errorf("no addresses: %+v, %v", res, err)
	}
}

func TestFirstMalformed(t *testing.T) {
	var in strings.Builder
	for range 5000 {
		in.WriteString("401136\n# c\n" + mapsA)
	}
	in.WriteString("first\x1b" + strings.Repeat("x", 200) + "\r\nsecond\n")
	for _, workers := range []int{1, 4} {
		res, err := Run(strings.NewReader(in.String()), &bytes.Buffer{}, Options{Append: each(appendTest), Space: testSpace{}, Workers: workers})
		want := Result{Malformed: 2, FirstMalformed: Line{15001, "first\x1b" + strings.Repeat("x", 74)}}
		if err != nil || res != want {
			t.Errorf("got %+v, %v, want %+v", res, err, want)
		}
	}
}

func TestNewSpaceError(t *testing.T) {
	in := mapsA + "1\n2\n" + strings.ReplaceAll(mapsA, "/usr", "/refuse") + "# thread 1\n3\n4\n"
	for _, workers := range []int{1, 2} {
		var out bytes.Buffer
		_, err := Run(strings.NewReader(in), &out, Options{Append: each(appendTest), NewSpace: newTestSpace, Workers: workers})
		want := "0000000000000001 exact 00400000\n0000000000000002 exact 00400000\n# thread 1\n"
		if err != errSpace || out.String() != want {
			t.Errorf("got %q, %v", out.String(), err)
		}
	}
}

// FuzzRun compares runs in chunks of odd sizes with the reference.
func FuzzRun(f *testing.F) {
	f.Add([]byte(report), uint16(40), uint16(7), byte(0))
	f.Add([]byte("1 2\r\n[0x12]\na(b) [0x1]\n#\n# signal\n1"), uint16(3), uint16(1), byte(3))
	f.Add([]byte(strings.Repeat("0 ", 300)), uint16(64), uint16(300), byte(2))
	f.Fuzz(func(t *testing.T, in []byte, a, b uint16, bits byte) {
		if len(in) > 1<<16 {
			return
		}
		o := Options{Append: each(appendTest), Workers: 1 + int(bits>>2&3), ReturnAddresses: bits&1 != 0}
		if bits&2 != 0 {
			o.Space = testSpace{}
		} else {
			o.NewSpace = newTestSpace
		}
		lim := limits{chunk: 1 + int(a%512), flush: 1 + int(b%512), maxLine: 1 + int(a^b)%1024, maxHead: 1 << 24}
		check(t, in, []int{1 + int(a>>3), 1 + int(b>>3)}, o, lim)
	})
}
