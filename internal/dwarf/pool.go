package dwarf

import (
	"sync"

	"github.com/gatedso/bt/internal/escape"
)

// text is a name or a path as answers have it.
type text struct {
	s       string
	plain   bool // nothing of it has to be escaped
	linkage bool // of a function: symbol tables have it under this name
}

// pool keeps the names and paths that answers refer to, so that each is made once,
// however many units have it, and lies in one place. It is safe for concurrent
// use. What is taken out of a pool stays.
type pool struct {
	name   func(string) string // how a name is shown; nil: as it is
	shards [poolShards]shard
}

type shard struct {
	mu    sync.RWMutex
	names map[poolKey]text
	paths map[string]text
	size  int // bytes of what is kept, about
}

// poolKey is where a name stands: a string in a section, or an entry whose name
// lies within scopes.
type poolKey struct {
	sec   *byte // the first byte of the section
	off   uint64
	entry bool
}

// A pool keeps about poolShards*maxShard bytes, the names of some hundreds of thousands of
// functions. poolEntry is what an entry takes beside its text.
const (
	poolShards = 16
	maxShard   = 4 << 20
	poolEntry  = 96
)

func shardOf(off uint64) uint64 { return off * 0x9e3779b97f4a7c15 >> 60 }

// get returns the name of a key. make makes it, unless it is there.
func (p *pool) get(k poolKey, make func() string) text {
	s := &p.shards[shardOf(k.off)]
	s.mu.RLock()
	t, ok := s.names[k]
	s.mu.RUnlock()
	if ok {
		return t
	}
	raw := make()
	if t.s = raw; raw != "" && p.name != nil {
		t.s = p.name(raw)
	}
	t.plain = escape.Plain(t.s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grow(len(t.s))
	s.names[k] = t
	return t
}

// path returns a path that has these bytes.
func (p *pool) path(b []byte) text {
	h := uint64(len(b))
	for _, c := range b[max(0, len(b)-8):] {
		h = h<<7 + h + uint64(c)
	}
	s := &p.shards[shardOf(h)]
	s.mu.RLock()
	t, ok := s.paths[string(b)]
	s.mu.RUnlock()
	if ok {
		return t
	}
	t.s = string(b)
	t.plain = escape.Plain(t.s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grow(len(t.s))
	s.paths[t.s] = t
	return t
}

// grow makes room for n bytes more. The caller holds s.mu.
func (s *shard) grow(n int) {
	if s.size += n + poolEntry; s.names == nil || s.size > maxShard {
		s.names, s.paths, s.size = make(map[poolKey]text), make(map[string]text), n+poolEntry
	}
}
