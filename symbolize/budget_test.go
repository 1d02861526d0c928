//go:build unix

package symbolize

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Demangling has an end: one name that would take long is shown as it is, and so
// are many that would take long together; what is short is demangled all the same.
func TestDemangleBudget(t *testing.T) {
	pack := func(name string, n int) string {
		return fmt.Sprintf("_Z%d%sIJ%sEEvDpT_", len(name), name, strings.Repeat("i", n))
	}
	now := time.Duration(0)
	d := &demangler{mode: Full, now: func() time.Duration { now += 20 * time.Millisecond; return now }}
	if raw := pack("f", 4000); d.name(raw) != raw || d.used.Load() != 0 {
		t.Errorf("a name that takes seconds was demangled")
	}
	const each = 400
	last := 0
	for i := range 60 {
		raw := pack(fmt.Sprintf("f%d", i), each)
		if got := d.name(raw); strings.HasPrefix(got, "void f") {
			if last = i; work(raw) < freeWork {
				t.Fatalf("the name costs %d, which is free", work(raw))
			}
		} else if got != raw {
			t.Fatalf("%q", got)
		}
	}
	if last < 10 || last > 50 {
		t.Errorf("the last of 60 names that was demangled is %d", last)
	}
	if got := d.name("_ZN3foo3barEv"); got != "foo::bar()" {
		t.Errorf("a short name: %q", got)
	}
}

// Long names as compilers make them take no part of the budget that matters: all of
// them are demangled, in whatever order they come.
func TestDemangleManyLong(t *testing.T) {
	now := time.Duration(0)
	d := &demangler{mode: Full, now: func() time.Duration { now += 50 * time.Microsecond; return now }}
	for i := range 1000 {
		class := fmt.Sprintf("%s%04d", strings.Repeat("c", 256), i)
		raw := fmt.Sprintf("_ZN%d%s7emplaceIJOiEEEvDpT_", len(class), class)
		if work(raw) < freeWork {
			t.Fatalf("the name costs %d, which is free", work(raw))
		}
		if got, want := d.name(raw), "void "+class+"::emplace<int&&>(int&&)"; got != want {
			t.Fatalf("name %d: %q", i, got)
		}
	}
}

// A few bytes can stand for more than can be shown. That takes time, too, until
// it is known.
func TestDemangleTooLong(t *testing.T) {
	// Each argument is a pair of the one before: S_ is std::pair, S0_ the first.
	raw := "_Z1fSt4pairIiiE"
	for i := range 20 {
		one := fmt.Sprintf("S%c_", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i])
		raw += "S_I" + one + one + "E"
	}
	d := &demangler{mode: Full}
	tried := 0
	for range 100 {
		before := d.used.Load()
		long := raw + strings.Repeat("i", shortName) // a name of its own, and not short
		if got := d.name(long); got != long {
			t.Fatalf("%d bytes", len(got))
		}
		if d.used.Load() > before {
			tried++
		}
	}
	if tried == 0 || tried > 50 {
		t.Errorf("%d of 100 names that are too long were tried", tried)
	}
}

func TestCut(t *testing.T) {
	for _, name := range []string{"", "f", strings.Repeat("x", maxShownName)} {
		if got := cut(name); got != name {
			t.Errorf("%d bytes: %d", len(name), len(got))
		}
	}
	for _, name := range []string{strings.Repeat("x", 1<<20), strings.Repeat("ä", 1<<20), "x" + strings.Repeat("€", 1<<20)} {
		got := cut(name)
		if len(got) > maxShownName+len("…") || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") || !strings.HasPrefix(name, strings.TrimSuffix(got, "…")) {
			t.Errorf("%d bytes, %q", len(got), got[len(got)-10:])
		}
	}
	// An unmangled name is cut, too.
	if got := (&demangler{mode: Full}).name(strings.Repeat("y", 1<<20)); len(got) > maxShownName+3 {
		t.Errorf("%d bytes", len(got))
	}
}
