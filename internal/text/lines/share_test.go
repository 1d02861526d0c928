package lines

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// Addresses that have been looked up together are answered in their order, by as many
// workers as there are, in the same words as one by one.
func TestSpread(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	in := "# one\n" + string(lines(3*shareSize, "%x\n")) + "no address\n" + string(lines(40*shareSize+7, "%#x %[1]x\n")) + "# end\n"
	answer := func(o Options) (string, Result) {
		o.Append = each(appendRaw)
		var out strings.Builder
		res, err := Run(strings.NewReader(in), &out, o)
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), res
	}
	want, wantRes := answer(Options{Space: testSpace{}, Workers: 1})
	got, gotRes := answer(Options{Space: testBulk{}, Bulk: true})
	if got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if gotRes != wantRes || gotRes.Malformed != 1 {
		t.Errorf("%+v, want %+v", gotRes, wantRes)
	}
}

// failing is a writer that fails after some bytes.
type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// An error of the writer ends the workers.
func TestSpreadFails(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	in := lines(100*shareSize, "%x\n")
	for _, left := range []int{0, 1000, 300_000} {
		_, err := Run(bytes.NewReader(in), &failing{left}, Options{Space: testBulk{}, Bulk: true, Append: each(appendRaw)})
		if err != errFull {
			t.Errorf("after %d bytes: %v", left, err)
		}
	}
	if _, err := Run(bytes.NewReader(in), io.Discard, Options{Space: testBulk{}, Bulk: true, Append: each(appendRaw)}); err != nil {
		t.Error(err)
	}
}

// counted is a testBulk that counts how often it is asked.
type counted struct {
	testBulk
	finds *int
}

func (c counted) Find(n int, frame func(i int) (pc uint64, exact bool)) Found {
	*c.finds++
	return c.testBulk.Find(n, frame)
}

// The addresses of a report are looked up together, though other lines stand between
// them.
func TestLookedUpTogether(t *testing.T) {
	var in strings.Builder
	for range 300 {
		in.WriteString("# thread 1\n12\n13\nlibc.so.6+0x1\n# signal\n14\n15\n16 17\n18 <f> a.c:1 (inlined)\nnone\n")
	}
	finds := 0
	answer := func(o Options) string {
		o.Append = each(appendTest)
		var out strings.Builder
		if _, err := Run(strings.NewReader(in.String()), &out, o); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := answer(Options{Space: testSpace{}, Workers: 1})
	if got := answer(Options{Space: counted{finds: &finds}, Bulk: true}); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	if finds != 1 {
		t.Errorf("asked %d times", finds)
	}
}
