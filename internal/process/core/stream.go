package core

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gatedso/bt/internal/packed"
)

// StreamOptions bounds the reading of a stream.
type StreamOptions struct {
	// MaxMemory is how many bytes of the process's memory are kept; 0 means
	// 48 MiB, with which bt as a whole stays within 64. Headers and notes are
	// bounded to as much again, but take a few hundred bytes for each thread
	// and mapping in practice.
	MaxMemory int
	// MaxBytes is how many bytes are read at most; 0 means no limit. What
	// lies behind counts as missing.
	MaxBytes int64
}

const defaultMaxMemory = 48 << 20

// errNotesLast says that a core's notes stand behind its memory.
var errNotesLast = errors.New("the core's notes stand behind its memory")

// Stream reads a core file from r, front to back and once, such as the kernel
// writes it to a handler in kernel.core_pattern. It keeps the notes and, of a
// core that is larger than MaxMemory, the part of memory that stacks and names
// take:
//
//   - the stack of each thread, from 128 bytes below the stack pointer
//     upwards, as far as the bound allows: the thread that died first, 64 KiB
//     of each other, then more of each;
//   - all of the vDSO, and the first page of every mapped ELF image;
//   - around each thread's pc, and what else is executable and of no file;
//   - the stack that libc made of a thread that died on another one;
//   - the dynamic linker's list, where no NT_FILE note makes it needless.
//
// It reads no further than it has to: what is left in r is for the caller to
// discard. The compressed forms that Open knows are decompressed.
//
// The error is for what is no core file at all; what is missing of a damaged one
// is said in Missing and Problems. It can lack even the threads.
func Stream(r io.Reader, o StreamOptions) (*File, error) {
	f, err := stream(r, o, nil)
	if errors.Is(err, errNotesLast) {
		f.problem("its notes stand behind its memory, of which only a part could be kept: save it to a file first")
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return f.finish(), nil
}

// stream makes one pass over r. known, if it is not nil, is the result of an
// earlier pass that ended with errNotesLast: its notes serve this one. With that
// error the File holds the notes, and as much of the memory as has room.
func stream(r io.Reader, o StreamOptions, known *File) (*File, error) {
	if o.MaxMemory <= 0 {
		o.MaxMemory = defaultMaxMemory
	}
	widen(r)
	r, err := packed.Undo(r)
	if err != nil {
		return nil, err
	}
	in := &input{r: r, limit: ^uint64(0)}
	if o.MaxBytes > 0 {
		in.limit = uint64(o.MaxBytes)
	}
	head := make([]byte, maxEhdr)
	head = head[:in.read(head)]
	h, err := parseHeader(head)
	if err != nil {
		return nil, in.explain(err)
	}
	f := newFile(&h)
	if known != nil {
		f.takeNotes(known)
	}
	parts, complete := in.headers(&h, head, o.MaxMemory)
	if !complete {
		f.problem("its program headers are cut short")
	}
	k := keeper{f: f, room: o.MaxMemory}
	for i := range parts {
		if p := &parts[i]; p.typ == elf.PT_LOAD {
			f.addSegment(p)
			k.total += p.filesz
		}
	}
	f.sortSegments()

	// In the order of the file.
	slices.SortStableFunc(parts, func(a, b phdr) int { return cmp.Compare(a.off, b.off) })
	notesLeft := 0
	if known == nil {
		notesLeft = countNotes(parts)
	}
	if notesLeft == 0 {
		k.plan()
	}
	var end uint64 // of the file, by its headers
	notesLast := false
	for i := range parts {
		p := &parts[i]
		if p.filesz > 0 {
			end = max(end, p.off+p.filesz)
		}
		switch {
		case p.typ == elf.PT_NOTE && known == nil:
			if !in.notes(f, &h, p, o.MaxMemory) {
				f.problem("its notes are cut short")
			}
			if notesLeft--; notesLeft == 0 {
				k.plan()
			}
		case p.typ == elf.PT_LOAD:
			if notesLeft > 0 && k.total > uint64(k.room) {
				notesLast = true
			}
			k.segment(in, p)
		}
	}
	f.setPieces(k.mem)
	f.Partial = k.left
	if in.ended && end > in.pos {
		f.Missing = end - in.pos
	}
	if in.err != nil {
		f.problem("reading stopped after %d bytes: %v", in.pos, in.err)
	}
	if notesLast {
		return f, errNotesLast
	}
	return f, nil
}

func countNotes(parts []phdr) (n int) {
	for i := range parts {
		if parts[i].typ == elf.PT_NOTE {
			n++
		}
	}
	return n
}

// input is a stream whose position is known.
type input struct {
	r     io.Reader
	pos   uint64
	limit uint64
	ended bool  // there is nothing more
	err   error // why, if that is no end of file
	buf   []byte
}

// errLimit ends an input at its limit.
var errLimit = errors.New("that is the limit; decompress the core to read all of it")

// read fills b as far as the input reaches.
func (in *input) read(b []byte) int {
	if in.ended {
		return 0
	}
	want := len(b)
	if left := in.limit - in.pos; uint64(want) > left {
		b = b[:left]
	}
	n, err := io.ReadFull(in.r, b)
	in.pos += uint64(n)
	switch {
	case err != nil:
		in.ended = true
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			in.err = err
		}
	case n < want:
		in.ended, in.err = true, errLimit
	}
	return n
}

func (in *input) explain(err error) error {
	if in.err != nil {
		return fmt.Errorf("%w (%w)", err, in.err)
	}
	return err
}

// skipTo reads on to the position off, and reports whether it is there.
func (in *input) skipTo(off uint64) bool {
	if in.buf == nil {
		in.buf = make([]byte, 256<<10)
	}
	for in.pos < off && !in.ended {
		in.read(in.buf[:min(uint64(len(in.buf)), off-in.pos)])
	}
	return in.pos == off
}

// headers reads the program headers; head is what was read of the file. It
// reports whether they are all there. They may take max bytes.
func (in *input) headers(h *header, head []byte, max int) (list []phdr, complete bool) {
	if h.phnum == 0 {
		return nil, true
	}
	one := make([]byte, h.phsize)
	var pre []byte // of the table, what head holds
	if h.phoff < uint64(len(head)) {
		pre = head[h.phoff:]
	} else if !in.skipTo(h.phoff) {
		return nil, false
	}
	count := 1
	for i := 0; i < count; i++ {
		n := copy(one, pre)
		pre = pre[n:]
		if n += in.read(one[n:]); n < h.phsize {
			return list, false
		}
		p := h.phdr(one)
		if i == 0 {
			count = h.realPhnum(nil, p)
		}
		if len(list) >= max/64 {
			return list, false
		}
		if p.typ == elf.PT_LOAD || p.typ == elf.PT_NOTE {
			list = append(list, p)
		}
	}
	return list, true
}

// notes reads the notes of one segment, and keeps those that are wanted. It
// reports whether they are all there. One note may have max/4 bytes.
func (in *input) notes(f *File, h *header, p *phdr, max int) (whole bool) {
	if !in.skipTo(p.off) {
		return false
	}
	end := p.off + p.filesz
	head := make([]byte, noteHeader)
	used := 0
	for in.pos+noteHeader <= end {
		if in.read(head) < noteHeader {
			return false
		}
		owner := uint64(h.order.Uint32(head))
		namesz := align4(owner)
		descsz := uint64(h.order.Uint32(head[4:]))
		typ := h.order.Uint32(head[8:])
		if owner == 0 && descsz == 0 && typ == 0 {
			pad := end-in.pos < padding
			return in.skipTo(end) && pad
		}
		if namesz > end-in.pos || descsz > end-in.pos-namesz {
			return false
		}
		next := min(in.pos+namesz+align4(descsz), end)
		if namesz <= longestOwner && f.wanted(typ) && descsz <= uint64(max/4) && used+int(descsz) <= max {
			note := make([]byte, namesz+descsz)
			if in.read(note) < len(note) {
				return false
			}
			if f.owned(h, note[:owner], typ, note[namesz:]) {
				used += int(descsz)
			}
		}
		if !in.skipTo(next) {
			return false
		}
	}
	return in.skipTo(end)
}
