package escape

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for s, want := range map[string]string{
		"":                 "",
		"main":             "main",
		"main.(*T).Lock·f": "main.(*T).Lock·f",
		"a\x1b[31mb":       `a\x1b[31mb`,
		"a\nb":             `a\x0ab`,
		"a\rb\tc":          `a\x0db\x09c`,
		"a\x7fb":           `a\x7fb`,
		"a\u0085b":         `a\xc2\x85b`, // C1: next line
		"a\u009b31mb":      `a\xc2\x9b31mb`,
		"a\x9b31mb":        `a\x9b31mb`, // C1 as a bare byte
		"a\xffb":           `a\xffb`,
		"a\xe2\x80b":       `a\xe2\x80b`,
		"a\u202eb":         `a\xe2\x80\xaeb`, // right-to-left override
		"a\u2066b\u2069":   `a\xe2\x81\xa6b\xe2\x81\xa9`,
		"a\u2028b":         `a\xe2\x80\xa8b`,
		"a\u061cb":         `a\xd8\x9cb`, // Arabic letter mark
		"a\u200fb":         `a\xe2\x80\x8fb`,
		`a\x1bb`:           `a\\x1bb`,
		`\`:                `\\`,
		"größe":            "größe",
		"名前":               "名前",
		"a b<c>":           "a b<c>",
		"\ufffd":           "\ufffd", // the real one, not an error
	} {
		if got := Name(s); got != want {
			t.Errorf("Name(%q) = %q, want %q", s, got, want)
		}
		if got, want := Text(s), strings.ReplaceAll(want, `\\`, `\`); got != want {
			t.Errorf("Text(%q): %q, want %q", s, got, want)
		}
	}
}

// Each byte at each place of strings of each length is told like by itself.
func TestPlain(t *testing.T) {
	for size := 1; size <= 20; size++ {
		for at := range size {
			for c := range 256 {
				b := []byte(strings.Repeat("a", size))
				b[at] = byte(c)
				want := c >= 0x20 && c < 0x7f && c != '\\'
				if got := Plain(string(b)); got != want {
					t.Fatalf("%q: %v, want %v", b, got, want)
				}
			}
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[0m", "\u202e\xff\u0085\\", "größe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Name(s)
		if got != string(AppendName(nil, s)) {
			t.Fatalf("%q: AppendName differs", s)
		}
		if Plain(s) && escaped(s) != s {
			t.Fatalf("%q is not plain", s)
		}
		if len(got) > 4*len(s) || !utf8.ValidString(got) {
			t.Fatalf("%q: %q", s, got)
		}
		for _, text := range []string{got, Text(s)} {
			for _, r := range text {
				if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
					t.Fatalf("%q: %q", s, text)
				}
			}
		}
		if !strings.ContainsAny(s, `\`) && got != Text(s) {
			t.Fatalf("%q: %q", s, got)
		}
	})
}

func TestAllocs(t *testing.T) {
	dst := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() { dst = AppendName(dst[:0], "std::vector<int>::push_back(int&&)") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
