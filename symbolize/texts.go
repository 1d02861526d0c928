//go:build unix

package symbolize

import (
	"sync"
	"unsafe"
)

// texts holds names that were handed out: copies, in chunks that are never moved
// or written to again. The collector frees a chunk when no name in it is left.
type texts struct {
	mu     sync.Mutex
	chunks [maxChunks]*[chunkSize]byte // written under mu; read by those whom put's result reached
	used   uint64
}

// A texts holds at most maxChunks*chunkSize bytes, 256 MB. Its symbolizer starts
// a new one when it is full.
const (
	chunkBits = 18
	chunkSize = 1 << chunkBits
	maxChunks = 1024
)

// put keeps a copy of name, which is no longer than a chunk. It reports false when
// there is no room.
func (t *texts) put(name string) (at uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = t.used
	if left := chunkSize - at%chunkSize; uint64(len(name)) > left {
		at += left
	}
	chunk := at >> chunkBits
	if chunk >= maxChunks {
		return 0, false
	}
	if t.chunks[chunk] == nil {
		t.chunks[chunk] = new([chunkSize]byte)
	}
	copy(t.chunks[chunk][at%chunkSize:], name)
	t.used = at + uint64(len(name))
	return at, true
}

// get returns the name of size bytes that put has kept at at.
func (t *texts) get(at, size uint64) string {
	return unsafe.String(&t.chunks[at>>chunkBits][at%chunkSize], size)
}
