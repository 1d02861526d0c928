package dwarf

import (
	"fmt"
	"strings"
	"testing"
)

// A pool makes a name once, keeps what it has handed out, and stays within its size.
func TestPool(t *testing.T) {
	made := 0
	p := pool{name: func(s string) string { made++; return "shown " + s }}
	sec := make([]byte, 1)
	k := poolKey{sec: &sec[0], off: 7}
	for range 2 {
		if got := p.get(k, func() string { return "a\x1b" }); got.s != "shown a\x1b" || got.plain {
			t.Errorf("%+v", got)
		}
	}
	k.entry = true // an entry at the same offset is something else
	if got := p.get(k, func() string { return "b" }); got.s != "shown b" || !got.plain {
		t.Errorf("%+v", got)
	}
	if made != 2 {
		t.Errorf("made %d names", made)
	}
	if got := p.get(poolKey{sec: &sec[0]}, func() string { return "" }); got.s != "" || made != 2 {
		t.Errorf("%+v for no name", got)
	}
	long := strings.Repeat("x", 1<<10)
	for i := range 4 * poolShards * maxShard / len(long) {
		p.get(poolKey{sec: &sec[0], off: uint64(i + 100)}, func() string { return long })
		if s := p.path([]byte(fmt.Sprint(long, i))); s.s != fmt.Sprint(long, i) || !s.plain {
			t.Fatalf("path %d: %+v", i, s)
		}
	}
	kept := 0
	for i := range p.shards {
		s := &p.shards[i]
		for _, t := range s.names {
			kept += len(t.s)
		}
		for _, t := range s.paths {
			kept += len(t.s)
		}
	}
	if kept > poolShards*maxShard || kept < poolShards*maxShard/4 {
		t.Errorf("%d bytes are kept", kept)
	}
	path := []byte("/usr/include/stdio.h")
	p.path(path)
	if n := testing.AllocsPerRun(100, func() { p.path(path) }); n != 0 {
		t.Errorf("%v allocations for a known path", n)
	}
}
