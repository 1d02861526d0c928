package escape

import (
	"errors"
	"fmt"
	"testing"
)

func TestSprintf(t *testing.T) {
	plain, named := errors.New("plain"), errors.New("open a\nb: no such file")
	joined := errors.Join(plain, named)
	for _, tt := range []struct {
		arg  any
		want string
	}{
		{nil, "x: <nil>"},
		{"a\nb", `x: a\x0ab`},
		{plain, "x: plain"},
		{named, `x: open a\x0ab: no such file`},
		{joined, `x: plain; open a\x0ab: no such file`},
		{errors.Join(joined, plain), `x: plain; open a\x0ab: no such file; plain`},
		{errors.Join(named), `x: open a\x0ab: no such file`},
		{fmt.Errorf("outer: %w", joined), `x: outer: plain; open a\x0ab: no such file`},
		{fmt.Errorf("outer: %w (%w)", joined, plain), `x: outer: plain; open a\x0ab: no such file (plain)`},
		{fmt.Errorf("q\n: %w", fmt.Errorf("inner: %w", joined)), `x: q\x0a: inner: plain; open a\x0ab: no such file`},
	} {
		if got := Sprintf("x: %v", tt.arg); got != tt.want {
			t.Errorf("%#v: %q, want %q", tt.arg, got, tt.want)
		}
	}
}
