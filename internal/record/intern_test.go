//go:build linux

package record

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// stackOf interns a stack of places.
func stackOf(t *tables, c chain, places ...int32) int32 {
	key := c.begin(nil, 0, false)
	for _, p := range places {
		key = binary.LittleEndian.AppendUint32(key, uint32(p))
	}
	n, _ := t.stack(key, c)
	return n
}

func TestTables(t *testing.T) {
	tb := newTables()
	a, fresh := tb.place(place{module: 0, addr: 0x10})
	if !fresh {
		t.Error("a new place is not fresh")
	}
	if b, fresh := tb.place(place{module: 0, addr: 0x10}); b != a || fresh {
		t.Error("the same place is another one")
	}
	for i, p := range []place{
		{module: 1, addr: 0x10}, {module: 0, addr: 0x11}, {module: 0, addr: 0x10, exact: true},
		{module: 0, addr: 0x10, signal: 11}, {module: 0, addr: 0x10, names: 1},
	} {
		if b, fresh := tb.place(p); b == a || !fresh {
			t.Errorf("%d: another place is the same", i)
		}
	}
	x := stackOf(tb, chain{}, 0, 1, 2)
	if stackOf(tb, chain{}, 0, 1, 2) != x {
		t.Error("the same stack is another one")
	}
	for i, n := range []int32{stackOf(tb, chain{}, 0, 1), stackOf(tb, chain{call: true}, 0, 1, 2), stackOf(tb, chain{about: 1}, 0, 1, 2), stackOf(tb, chain{wordSize: 4}, 0, 1, 2)} {
		if n == x {
			t.Errorf("%d: another stack is the same", i)
		}
	}
	if got := fmt.Sprint(tb.order[x].places()); got != "[0 1 2]" {
		t.Errorf("%s", got)
	}
	// Names that differ in where one string ends are different.
	one := tb.namesOf([]stack.Name{{Symbol: "ab", File: "c"}})
	if two := tb.namesOf([]stack.Name{{Symbol: "a", File: "bc"}}); two == one || one == 0 {
		t.Error("other names are the same")
	}
}

// Whatever a process does, what is kept of it has a bound.
func TestBounds(t *testing.T) {
	tb := newTables()
	for i := range maxPlaces + 10 {
		n, _ := tb.place(place{addr: uint64(i)})
		if (n < 0) != (i >= maxPlaces) {
			t.Fatalf("place %d: %d", i, n)
		}
	}
	if !tb.full {
		t.Error("it is not said that something was left out")
	}
	tb = newTables()
	deep := make([]int32, maxStacked/8)
	for i := range 10 {
		deep[0] = int32(i)
		if n := stackOf(tb, chain{}, deep...); (n < 0) != (i >= 8) {
			t.Fatalf("stack %d: %d", i, n)
		}
	}
}

// Threads that have ended are counted together where there are many.
func TestThreadsEnd(t *testing.T) {
	l := newThreads(false)
	const n = 10 * maxEnded
	for i := range n {
		th := l.of(i+1, fmt.Sprint("worker ", i%3))
		l.count(th, 7, 0)
		l.end(th)
	}
	var total int64
	all := l.all()
	for _, th := range all {
		total += th.counts[7]
	}
	if total != n || l.seen != n {
		t.Errorf("%d samples of %d threads, want %d of both", total, l.seen, n)
	}
	if len(all) != maxEnded+3 {
		t.Errorf("%d threads are kept", len(all))
	}
	// So are threads that each have a name of their own.
	for i := range n {
		th := l.of(i+1, fmt.Sprint("one-off ", i))
		l.count(th, 7, 0)
		l.end(th)
	}
	if len(l.byName) > maxEnded+1 {
		t.Errorf("%d names are kept", len(l.byName))
	}
	total = 0
	for _, th := range l.all() {
		total += th.counts[7]
	}
	if total != 2*n {
		t.Errorf("%d samples, want %d", total, 2*n)
	}
	// A thread that changes its name is another one from then on.
	a := l.of(5, "a")
	if b := l.of(5, "b"); a == b || l.of(5, "b") != b {
		t.Error("a thread with another name")
	}
}

func TestTimeline(t *testing.T) {
	l := newThreads(true)
	a, b := l.of(1, "a"), l.of(2, "b")
	for i, s := range []int32{3, 3, 4, 3} {
		l.count(a, s, int64(10*i))
		l.count(b, 9, int64(10*i))
	}
	var got []string
	for _, r := range l.runs {
		got = append(got, fmt.Sprintf("%s%d@%d×%d", r.thread.name, r.stack, r.at, r.n))
	}
	if want := "[a3@0×2 b9@0×4 a4@20×1 a3@30×1]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}

const (
	before = `1000-2000 r-xp 00000000 08:01 11 /lib/a.so
2000-3000 r-xp 00000000 08:01 12 /lib/b.so
3000-4000 r-xp 00000000 08:01 13 /lib/c.so
5000-6000 rw-p 00000000 00:00 0 [heap]
`
	after = `1000-1800 r-xp 00000000 08:01 11 /lib/a.so
1800-2000 r-xp 00000800 08:01 11 /lib/a.so
2000-3000 r-xp 00000000 08:01 22 /lib/b.so
5000-7000 rw-p 00000000 00:00 0 [heap]
`
)

func parsed(t *testing.T, text string) *maps.Map {
	mm, err := maps.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return mm
}

// Places in a mapping that was replaced are not certain. Those in one that was only
// split, or that is gone, are.
func TestReplaced(t *testing.T) {
	mm := parsed(t, before)
	v := &view{mm: mm, text: []byte(before), space: image.NewSpace(mm, nil, new(image.Cache)), places: map[seen]int32{
		{pc: 0x1100, exact: true}: 1, {pc: 0x1900}: 2, {pc: 0x2000}: 3, {pc: 0x2000, exact: true}: 4, {pc: 0x2fff}: 5, {pc: 0x3100}: 6,
	}}
	got := v.replaced(parsed(t, after))
	if len(got) != 2 || !got[4] || !got[5] {
		t.Errorf("%v, want 4 and 5", got)
	}
	if v.sameCode([]byte(after)) {
		t.Error("the code is not the same")
	}
	more := before + "8000-9000 rw-p 00000000 00:00 0 \n"
	if !v.sameCode([]byte(more)) || len(v.mm.Entries) != 5 {
		t.Error("more data is not other code, and is taken in")
	}
}
