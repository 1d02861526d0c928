package core

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/packed"
)

// maxDecompressed bounds the bytes that a compressed core may unfold to.
const maxDecompressed = 64 << 30

// Open opens the core file at path. One that is compressed by gzip, zstd, xz or
// lz4, whatever its name, and one that is a pipe are read as Stream does. The
// error names the file. The caller must Close.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		var known *os.PathError
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := st.Mode(); {
	case mode&(os.ModeNamedPipe|os.ModeSocket) != 0:
		return Stream(file, StreamOptions{MaxBytes: maxDecompressed})
	case !mode.IsRegular():
		return nil, fmt.Errorf("%w: no regular file", ErrNotCore)
	case st.Size() == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrNotCore)
	}
	magic := make([]byte, packed.MagicSize)
	n, _ := file.ReadAt(magic, 0)
	if packed.Compression(magic[:n]) != nil {
		return twice(file)
	}
	return mapped(file, st.Size())
}

// mapped reads a core by mapping the file.
func mapped(file *os.File, size int64) (*File, error) {
	if int64(int(size)) != size {
		return twice(file)
	}
	data, err := guard.Map(file, int(size))
	if err != nil {
		return twice(file) // a core larger than the address space
	}
	f, err := New(data)
	if err != nil {
		guard.Unmap(data)
		return nil, err
	}
	f.close = func() error { return guard.Unmap(data) }
	guard.Discard(data) // the notes of many threads are many pages
	return f, nil
}

// twice reads a file as a stream, and again if its notes turn out to stand
// behind its memory.
func twice(file *os.File) (*File, error) {
	o := StreamOptions{MaxBytes: maxDecompressed}
	f, err := stream(file, o, nil)
	if errors.Is(err, errNotesLast) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		f, err = stream(file, o, f)
	}
	if err != nil {
		return nil, err
	}
	return f.finish(), nil
}

// New reads a core file that is held in memory, which the File refers to.
// Errors are those of Stream.
func New(data []byte) (f *File, err error) {
	err = guard.Read(func() (err error) {
		f, err = read(data)
		return err
	})
	if err != nil {
		return nil, truncated(err)
	}
	return f, nil
}

// read reads a core file that may be mapped.
func read(data []byte) (*File, error) {
	h, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	f := newFile(&h)
	parts := programHeaders(&h, data)
	size := uint64(len(data))
	var end uint64
	mem := make([]piece, 0, len(parts))
	for i := range parts {
		p := &parts[i]
		if p.typ == elf.PT_LOAD {
			f.addSegment(p)
		}
		if p.filesz == 0 {
			continue
		}
		end = max(end, p.off+min(p.filesz, ^uint64(0)-p.off))
		if p.off >= size {
			continue
		}
		b := data[p.off : p.off+min(p.filesz, size-p.off)]
		switch p.typ {
		case elf.PT_NOTE:
			if whole := f.notes(&h, b); !whole || uint64(len(b)) < p.filesz {
				f.problem("its notes are cut short")
			}
		case elf.PT_LOAD:
			if room := -p.vaddr; p.vaddr != 0 && uint64(len(b)) > room {
				b = b[:room]
			}
			mem = append(mem, piece{p.vaddr, b})
		}
	}
	if end > size {
		f.Missing = end - size
	}
	f.sortSegments()
	f.setPieces(mem)
	return f.finish(), nil
}

// maxSegments bounds the program headers: a process has a segment for each
// mapping, of which vm.max_map_count allows 65,530 by default.
const maxSegments = 4 << 20

// programHeaders returns the headers of memory and notes, as far as data holds
// them.
func programHeaders(h *header, data []byte) (list []phdr) {
	if h.phnum == 0 || h.phoff > uint64(len(data)) {
		return nil
	}
	table := data[h.phoff:]
	if len(table) < h.phsize {
		return nil
	}
	var section0 []byte
	if h.shoff < uint64(len(data)) {
		section0 = data[h.shoff:]
	}
	// A sparse file can have room for any number of them.
	n := min(h.realPhnum(section0, h.phdr(table)), len(table)/h.phsize, maxSegments)
	list = make([]phdr, 0, min(n, 1<<16))
	for i := range n {
		p := h.phdr(table[i*h.phsize:])
		if p.typ == elf.PT_LOAD || p.typ == elf.PT_NOTE {
			list = append(list, p)
		}
	}
	return list
}

func newFile(h *header) *File {
	return &File{Machine: h.machine, Class: h.class, Order: h.order, Flags: h.flags}
}

// takeNotes takes over what an earlier pass has found in the notes.
func (f *File) takeNotes(from *File) {
	f.PID, f.UID, f.Comm, f.Args = from.PID, from.UID, from.Comm, from.Args
	f.Threads, f.Auxv, f.Files = from.Threads, from.Auxv, from.Files
	f.Problems = from.Problems
}

// finish completes what the notes and the memory tell together.
func (f *File) finish() *File {
	if f.Missing > 0 {
		f.problem("it is cut short: %d bytes are missing", f.Missing)
	}
	f.sortFiles()
	f.order()
	return f
}

// order puts the thread that died first: the writers do so, but for one that
// has lost it among threads that no signal stopped.
func (f *File) order() {
	i := slices.IndexFunc(f.Threads, func(t Thread) bool { return t.Signal != 0 })
	if i > 0 && f.Threads[0].Signal == 0 {
		died := f.Threads[i]
		f.Threads = slices.Insert(slices.Delete(f.Threads, i, i+1), 0, died)
	}
	if f.PID == 0 && len(f.Threads) > 0 {
		// The first thread's number is the process's; it is the lowest
		// unless numbers have wrapped around.
		f.PID = f.Threads[0].TID
		for _, t := range f.Threads {
			f.PID = min(f.PID, t.TID)
		}
	}
	for i := range f.Threads {
		if t := &f.Threads[i]; t.TID == f.PID {
			t.Name = f.Comm
		}
		if f.Threads[i].Arch == nil {
			f.Threads[i].Machine = f.MachineName()
		}
	}
}
