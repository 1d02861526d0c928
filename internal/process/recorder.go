package process

import (
	"slices"
	"sort"

	"github.com/gatedso/bt/internal/unwind"
)

// Range is a part of an address space, of Len bytes from Start on.
type Range struct {
	Start, Len uint64
}

// Fetch reads memory of a target: out[i], which has ranges[i].Len bytes, receives what
// is at ranges[i], and n[i] tells how much that was. Where the time is up it reads
// nothing more.
type Fetch func(ranges []Range, out [][]byte, n []int)

// Recorder reads a target's memory and keeps what it has read. What follows pointers
// while a process is stopped, and makes sense of what it found afterwards, asks the
// same Recorder both times: after Freeze it knows what was read before, and nothing
// else. It serves one goroutine.
type Recorder struct {
	fetch  Fetch // nil: frozen
	room   int   // bytes that may still be read
	cut    bool
	spare  []byte // memory for what is read next
	batch  batch
	whole  []recorded // of Prefetch, sorted by start; they do not overlap
	added  []recorded // the same, not merged yet
	pages  map[uint64][]byte
	missed map[uint64]struct{} // pages of which nothing can be read
}

type recorded struct {
	start uint64
	data  []byte
}

// Bounds of what a Recorder keeps.
const (
	recorderPage  = 4096
	recorderBytes = 512 << 20
	recorderBatch = 8192 // ranges in one Fetch
)

// NewRecorder returns a Recorder that reads by fetch, 512 MiB at most.
func NewRecorder(fetch Fetch) *Recorder {
	return &Recorder{fetch: fetch, room: recorderBytes, pages: make(map[uint64][]byte), missed: make(map[uint64]struct{})}
}

// FetchBy makes a Fetch of a function that reads one range.
func FetchBy(read func(addr uint64, b []byte) int) Fetch {
	return func(ranges []Range, out [][]byte, n []int) {
		for i := range ranges {
			n[i] = read(ranges[i].Start, out[i])
		}
	}
}

// Reserve has what is read first put into room. In a process that stands still each page
// of memory that bt touches for the first time costs more than reading it.
func (r *Recorder) Reserve(room *Room) {
	r.spare, r.added, r.batch = room.bytes, room.added[:0], newBatch(cap(room.added))
}

// Room is memory for what a Recorder reads, that is there before it is needed.
type Room struct {
	bytes []byte
	added []recorded
}

// Need is how much a Recorder is going to read, as far as that can be said before.
type Need struct{ Bytes, Ranges int }

// maxRoom bounds Need.Bytes.
const maxRoom = 256 << 20

// NewRoom makes room for what is needed.
func NewRoom(n Need) *Room {
	room := &Room{bytes: make([]byte, min(n.Bytes, maxRoom)), added: Touched[recorded](min(n.Ranges, maxRoom/64))}
	for i := 0; i < len(room.bytes); i += recorderPage {
		room.bytes[i] = 1
	}
	return room
}

// Touched returns n zero values whose pages of memory are there already.
func Touched[T any](n int) []T {
	list := make([]T, n)
	clear(list) // it writes them
	return list
}

// take returns n bytes to read into.
func (r *Recorder) take(n int) []byte {
	if n > len(r.spare) {
		return make([]byte, n)
	}
	b := r.spare[:n:n]
	r.spare = r.spare[n:]
	return b
}

// Freeze ends reading. What was not read by then cannot be had.
func (r *Recorder) Freeze() { r.fetch = nil }

// Cut reports whether memory was left out because it was too much.
func (r *Recorder) Cut() bool { return r.cut }

// Prefetch reads many ranges with few system calls. Those that are kept already, or
// lie in others, cost their reading again: the caller sees to it that there are few.
// It returns what there was of each range, nil for nothing; the bytes are the
// Recorder's.
func (r *Recorder) Prefetch(ranges []Range) [][]byte {
	return r.PrefetchInto(make([][]byte, len(ranges)), ranges)
}

// PrefetchInto is Prefetch that returns its answer in got, if that has room.
func (r *Recorder) PrefetchInto(got [][]byte, ranges []Range) [][]byte {
	got = slices.Grow(got[:0], len(ranges))[:len(ranges)]
	clear(got)
	r.added = slices.Grow(r.added, len(ranges))
	for at := 0; at < len(ranges) && r.fetch != nil; {
		end := min(at+recorderBatch, len(ranges))
		r.prefetch(ranges[at:end], got[at:end])
		at = end
	}
	return got
}

// batch is what one Fetch takes.
type batch struct {
	out   [][]byte
	n     []int
	taken []Range
	index []int // of each of them among the ranges that are wanted
}

func newBatch(n int) batch {
	n = min(n, recorderBatch)
	return batch{out: Touched[[]byte](n)[:0], n: Touched[int](n), taken: Touched[Range](n)[:0], index: Touched[int](n)[:0]}
}

// prefetch is Prefetch for as many ranges as one Fetch takes.
func (r *Recorder) prefetch(ranges []Range, got [][]byte) {
	if len(r.batch.n) < len(ranges) {
		r.batch = newBatch(max(len(ranges), 256))
	}
	out, taken, index, n := r.batch.out[:0], r.batch.taken[:0], r.batch.index[:0], r.batch.n[:len(ranges)]
	clear(n)
	total := 0
	for i, g := range ranges {
		if g.Len == 0 || g.Start+g.Len < g.Start {
			continue
		}
		if r.room < total || g.Len > uint64(r.room-total) {
			r.cut = true
			continue
		}
		total += int(g.Len)
		taken, index = append(taken, g), append(index, i)
	}
	arena := r.take(total)
	for _, g := range taken {
		out = append(out, arena[:g.Len:g.Len])
		arena = arena[g.Len:]
	}
	r.room -= total
	r.fetch(taken, out, n[:len(taken)])
	for i, g := range taken {
		if n[i] > 0 {
			got[index[i]] = out[i][:n[i]]
			r.added = append(r.added, recorded{g.Start, out[i][:n[i]]})
		}
	}
}

// merge takes in what Prefetch has added: sorted, and cut where it overlaps.
func (r *Recorder) merge() {
	if len(r.added) == 0 {
		return
	}
	all := append(r.whole, r.added...)
	r.added = nil
	slices.SortStableFunc(all, func(a, b recorded) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return len(b.data) - len(a.data)
	})
	out := all[:0]
	var end uint64 // 1 + the last address that is held
	for _, s := range all {
		last := s.start + uint64(len(s.data)) - 1
		if end != 0 && s.start < end {
			if last < end {
				continue
			}
			s.data = s.data[end-s.start:]
			s.start = end
		}
		out = append(out, s)
		if end = last + 1; end == 0 {
			break
		}
	}
	r.whole = out
}

// Read copies memory at addr into b and returns how much there was of it.
func (r *Recorder) Read(addr uint64, b []byte) int {
	r.merge()
	n := 0
	for n < len(b) {
		at := addr + uint64(n)
		if at < addr {
			break
		}
		data := r.at(at)
		if len(data) == 0 {
			break
		}
		n += copy(b[n:], data)
	}
	return n
}

// at returns what is known from addr on.
func (r *Recorder) at(addr uint64) []byte {
	i := sort.Search(len(r.whole), func(i int) bool { return r.whole[i].start > addr }) - 1
	if i >= 0 {
		if off := addr - r.whole[i].start; off < uint64(len(r.whole[i].data)) {
			return r.whole[i].data[off:]
		}
	}
	start := addr &^ (recorderPage - 1)
	page, ok := r.pages[start]
	if !ok {
		page = r.page(start)
	}
	if off := addr - start; off < uint64(len(page)) {
		page = page[off:]
		if i+1 < len(r.whole) { // what was read whole is not told by a page that was read at another time
			if gap := r.whole[i+1].start - addr; gap < uint64(len(page)) {
				page = page[:gap]
			}
		}
		return page
	}
	return nil
}

// page reads the page at start.
func (r *Recorder) page(start uint64) []byte {
	if r.fetch == nil {
		return nil
	}
	if _, known := r.missed[start]; known {
		return nil
	}
	if r.room < recorderPage {
		r.cut = true
		return nil
	}
	b := r.take(recorderPage)
	var n [1]int
	r.fetch([]Range{{start, recorderPage}}, [][]byte{b}, n[:])
	if n[0] <= 0 {
		r.missed[start] = struct{}{}
		r.room -= 64 // a target may make bt remember many
		return nil
	}
	r.room -= recorderPage
	r.pages[start] = b[:n[0]]
	return b[:n[0]]
}

// Word implements unwind.Memory.
func (r *Recorder) Word(addr uint64, size int) (uint64, bool) {
	var b [8]byte
	if size <= 0 || size > len(b) || r.Read(addr, b[:size]) < size {
		return 0, false
	}
	return unwind.Word(b[:size], size)
}

// Stopped is a process that stands still, and lasts as long.
type Stopped struct {
	// Threads are those that are wanted and live.
	Threads []StoppedThread
	// TIDs are all threads of the process, wanted or not.
	TIDs []int
	// Memory reads the process's memory. It is frozen when the process goes on, and
	// holds what was read of it.
	Memory *Recorder
}

// StoppedThread is a thread of a process that stands still.
type StoppedThread struct {
	*Thread
	// StackAddr is the address of the first byte of Stack, which is what was copied
	// of the thread's stack from its stack pointer on. It is not to be changed.
	StackAddr uint64
	Stack     []byte
}
