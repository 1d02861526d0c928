package lines

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gatedso/bt/stack"
)

// TestInteractive gives a line only after the answer to the one before it has
// come: an answer must not wait for more input.
func TestInteractive(t *testing.T) {
	for _, workers := range []int{1, 3} {
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := Run(inR, outW, Options{Append: each(appendTest), NewSpace: newTestSpace, Workers: workers})
			outW.CloseWithError(err)
			done <- err
		}()
		out := bufio.NewReader(outR)
		say := func(in, want string) {
			t.Helper()
			if _, err := io.WriteString(inW, in); err != nil {
				t.Fatal(err)
			}
			for w := range strings.Lines(want) {
				if got, err := out.ReadString('\n'); got != w || err != nil {
					t.Fatalf("%d workers: got %q, %v, want %q", workers, got, err, w)
				}
			}
		}
		say("# process 1\n", "# process 1\n")
		say(mapsA, "")
		say("# thread 2\n", "# thread 2\n")
		say("12\n34\n", "0000000000000012 exact 00400000\n0000000000000034 ret 00400000\n")
		say("5", "")
		say("6\n7", "0000000000000056 ret 00400000\n")
		say("8\nhello\n", "0000000000000078 ret 00400000\nhello\n")
		inW.Close()
		if rest, err := io.ReadAll(out); len(rest) > 0 || err != nil {
			t.Errorf("rest %q, %v", rest, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestReadError(t *testing.T) {
	broken := errors.New("broken")
	for _, workers := range []int{1, 2} {
		o := Options{Append: each(appendTest), Space: testSpace{}, Workers: workers}
		want := "0000000000000001 exact\n0000000000000002 exact\n"
		for name, r := range map[string]io.Reader{
			"alone":     io.MultiReader(strings.NewReader("1\n2"), iotest.ErrReader(broken)),
			"with data": &splitReader{data: []byte("1\n2"), sizes: []int{100}, err: broken},
		} {
			var out bytes.Buffer
			_, err := Run(r, &out, o)
			if err != broken || out.String() != want {
				t.Errorf("%s: got %q, %v", name, out.String(), err)
			}
		}
		if _, err := Run(stuckReader{}, io.Discard, o); err != io.ErrNoProgress {
			t.Errorf("reader without progress: %v", err)
		}
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// endless is input that never ends; it counts what has been read of it.
type endless struct {
	line string
	n    atomic.Int64
}

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n+len(e.line) <= len(b) {
		n += copy(b[n:], e.line)
	}
	if n == 0 {
		n = copy(b, e.line[:1])
	}
	e.n.Add(int64(n))
	return n, nil
}

// failingWriter fails after some writes.
type failingWriter struct{ left int }

var errClosed = errors.New("broken pipe")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errClosed
	}
	return len(b), nil
}

// countingSpace counts the calls that last.
type countingSpace struct {
	testSpace
	busy  *atomic.Int64
	calls *atomic.Int64
}

func (s countingSpace) Frames(frames []stack.Frame) {
	s.busy.Add(1)
	defer s.busy.Add(-1)
	s.calls.Add(1)
	s.testSpace.Frames(frames)
}

// TestWriteError checks that a run ends with its output, also when its input
// does not, that it uses no Space afterwards, and that nothing stays behind.
func TestWriteError(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, workers := range []int{1, 2, 5} {
		for left := range 6 {
			s := countingSpace{busy: new(atomic.Int64), calls: new(atomic.Int64)}
			_, err := Run(&endless{line: "401136\n"}, &failingWriter{left}, Options{Append: each(appendTest), Space: s, Workers: workers})
			if err != errClosed {
				t.Errorf("got %v", err)
			}
			calls := s.calls.Load()
			if s.busy.Load() != 0 {
				t.Error("a Space is still used")
			}
			runtime.Gosched()
			if s.calls.Load() != calls {
				t.Error("a Space is used afterwards")
			}
		}
	}

	// The input stays open and silent: Run returns all the same.
	inR, inW := io.Pipe()
	go io.WriteString(inW, "1\n2\n")
	if _, err := Run(inR, &failingWriter{}, Options{Append: each(appendTest), Space: testSpace{}, Workers: 2}); err != errClosed {
		t.Errorf("silent input: %v", err)
	}
	inW.Close() // ends the Read that was left behind

	short := writerFunc(func(b []byte) (int, error) { return len(b) - 1, nil })
	if _, err := Run(strings.NewReader("1\n"), short, Options{Append: each(appendTest), Space: testSpace{}}); err != io.ErrShortWrite {
		t.Errorf("short write: %v", err)
	}
	waitGoroutines(t, before)
}

// waitGoroutines waits until no more goroutines run than before.
func waitGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("goroutines left:\n%s", buf[:runtime.Stack(buf, true)])
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestSlowWriter checks that no more is read than a bounded number of chunks
// ahead of what is written.
func TestSlowWriter(t *testing.T) {
	in := &endless{line: "401136\n"}
	var out, furthest int64
	w := writerFunc(func(b []byte) (int, error) {
		for range 100 {
			runtime.Gosched()
		}
		furthest = max(furthest, in.n.Load()-out*7/23)
		if out += int64(len(b)); out > 20<<20 {
			return 0, errClosed
		}
		return len(b), nil
	})
	const workers = 2
	if _, err := Run(in, w, Options{Append: each(appendTest), Space: testSpace{}, Workers: workers}); err != errClosed {
		t.Fatal(err)
	}
	if most := int64((2*workers + 2) * defaultChunk); furthest > most {
		t.Errorf("%d bytes were read ahead, more than %d", furthest, most)
	}
}

// repeated is a reader of n bytes c, then of end.
func repeated(c rune, n int64, end string) io.Reader {
	return io.MultiReader(io.LimitReader(&endless{line: strings.Repeat(string(c), 4096)}, n), strings.NewReader(end))
}

// TestHugeLines checks that long lines pass through whole and are not kept.
func TestHugeLines(t *testing.T) {
	const size = 256 << 20
	for _, workers := range []int{1, 2} {
		for _, start := range []string{"x", "# thread ", "1 "} {
			var n int64
			var end []byte
			w := writerFunc(func(b []byte) (int, error) {
				n += int64(len(b))
				end = append(end[:0], b[max(0, len(b)-50):]...)
				return len(b), nil
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, err := Run(io.MultiReader(strings.NewReader(start), repeated('y', size, "\n1\n2\n")), w,
				Options{Append: each(appendTest), Space: testSpace{}, Workers: workers})
			runtime.ReadMemStats(&after)
			answers := "0000000000000001 exact\n0000000000000002 exact\n"
			want := Result{Malformed: 1, FirstMalformed: Line{1, start + strings.Repeat("y", excerptLen-len(start))}}
			if strings.HasPrefix(start, "#") {
				answers = "0000000000000001 exact\n0000000000000002 ret\n"
				want = Result{}
			}
			if err != nil || res != want || n != int64(size+1+len(start)+len(answers)) {
				t.Errorf("%q: %d bytes, %+v, %v", start, n, res, err)
			}
			if !bytes.HasSuffix([]byte(answers), end[max(0, len(end)-len(answers)):]) {
				t.Errorf("%q: ends with %q", start, end)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
				t.Errorf("%q: %d MiB allocated", start, grown>>20)
			}
		}
	}
}

// TestManyPerLine checks that a line with very many addresses, whose answers
// are many times longer, is answered in bounded memory.
func TestManyPerLine(t *testing.T) {
	in := strings.Repeat("77 ", defaultMaxLine/3) + "\n"
	var n int
	var largest int
	w := writerFunc(func(b []byte) (int, error) {
		n += len(b)
		largest = max(largest, len(b))
		return len(b), nil
	})
	if _, err := Run(strings.NewReader(in), w, Options{Append: each(appendTest), Space: testSpace{}, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if want := defaultMaxLine / 3 * (23 + 100); n != want {
		t.Errorf("%d bytes, want %d", n, want)
	}
	if largest > defaultFlush+200 {
		t.Errorf("a write of %d bytes", largest)
	}
}

// TestManyReports runs thousands of reports in sequence.
func TestManyReports(t *testing.T) {
	var in, want strings.Builder
	for i := range 3000 {
		start := strconv.FormatInt(int64(0x10000000+i), 16)
		in.WriteString(start + "-20000000 r-xp 00000000 fe:00 123   /a\n# thread 1\n1\n2\n")
		want.WriteString("# thread 1\n0000000000000001 exact " + start + "\n0000000000000002 ret " + start + "\n")
	}
	for _, workers := range []int{1, 3} {
		var out bytes.Buffer
		_, err := Run(strings.NewReader(in.String()), &out, Options{Append: each(appendTest), NewSpace: newTestSpace, Workers: workers})
		if err != nil || out.String() != want.String() {
			t.Errorf("%d workers: %v, %d bytes, want %d", workers, err, out.Len(), want.Len())
		}
	}
}

// TestHeadTooBig checks that maps lines without end are refused.
func TestHeadTooBig(t *testing.T) {
	for _, line := range []string{mapsA, "# build-id 12 /a\n"} {
		in := &endless{line: line}
		_, err := run(in, io.Discard, Options{Append: each(appendTest), NewSpace: newTestSpace, Workers: 2}, defaultLimits)
		if err == nil || !strings.Contains(err.Error(), "maps lines of one report") {
			t.Errorf("got %v", err)
		}
		if n := in.n.Load(); n > 2<<20 {
			t.Errorf("%d bytes were read", n)
		}
	}
}
