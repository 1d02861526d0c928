package jitmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The layout of a jitdump file, from
// tools/perf/Documentation/jitdump-specification.txt.
const (
	dumpMagic   = 0x4a695444 // "JiTD", in the writer's byte order
	dumpVersion = 1

	// Header: magic, version, total_size, elf_mach, pad1, pid (4 bytes each),
	// timestamp, flags (8 each).
	headerSize = 40
	// Record: id, total_size (4 bytes each), timestamp (8).
	prefixSize = 16
	// JIT_CODE_LOAD: pid, tid (4 each), vma, code_addr, code_size, code_index
	// (8 each), the name with a NUL, the code.
	loadSize = prefixSize + 40
	// JIT_CODE_MOVE: pid, tid (4 each), vma, old_code_addr, new_code_addr,
	// code_size, code_index (8 each).
	moveSize = prefixSize + 48

	codeLoad  = 0
	codeMove  = 1
	codeClose = 3
)

// maxDump bounds what is read of a jitdump file, which holds the code itself.
const maxDump = 4 << 30

// readDump reads a jitdump file of size bytes. Later functions override earlier
// ones, and moves are followed; a last record that is not complete is left
// out. With an error the table holds what was read before.
func readDump(r io.ReaderAt, size int64) (*Table, error) {
	return readAll(&dump{}, r, size)
}

// dump reads a jitdump file that grows.
type dump struct {
	order  binary.ByteOrder // nil until the header has been read
	off    int64            // of the next record
	first  int64            // of the first record
	closed bool
	// moves has the names of all functions by code_index, once there is a
	// record that asks for one. Few JITs write such records.
	moves map[uint64]name
}

func (d *dump) offset() int64 { return d.off }

var errNoDump = errors.New("not a jitdump file of version 1")

func (d *dump) read(r io.ReaderAt, size int64, b *builder) error {
	w := window{r: r, size: min(size, maxDump)}
	if d.order == nil {
		if err := d.header(&w); err != nil || d.order == nil {
			return err
		}
	}
	for !d.closed {
		h, err := w.at(d.off, prefixSize)
		if err != nil {
			return err
		}
		if len(h) < prefixSize {
			break
		}
		id, total := d.order.Uint32(h), int64(d.order.Uint32(h[4:]))
		if total == 0 {
			return nil // space that has not been written to
		}
		if total < prefixSize {
			return fmt.Errorf("malformed record at %#x", d.off)
		}
		if total > w.size-d.off {
			break
		}
		switch id {
		case codeLoad:
			err = d.load(&w, total, b)
		case codeMove:
			if d.moves == nil {
				d.moves = make(map[uint64]name)
				d.off = d.first
				*b = builder{}
				continue
			}
			err = d.move(&w, total, b)
		case codeClose:
			d.closed = true
		}
		if err != nil {
			return err
		}
		d.off += total
	}
	if size > maxDump {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	return nil
}

// header reads the file header, if it is complete.
func (d *dump) header(w *window) error {
	h, err := w.at(0, headerSize)
	if len(h) < headerSize {
		return err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if binary.BigEndian.Uint32(h) == dumpMagic {
		order = binary.BigEndian
	}
	if order.Uint32(h) != dumpMagic || order.Uint32(h[4:]) != dumpVersion {
		return errNoDump
	}
	size := int64(order.Uint32(h[8:]))
	if size < headerSize {
		return fmt.Errorf("%w: its header is %d bytes long", errNoDump, size)
	}
	d.order, d.first, d.off = order, size, size
	return nil
}

// load takes in a JIT_CODE_LOAD record.
func (d *dump) load(w *window, total int64, b *builder) error {
	if total <= loadSize {
		return nil
	}
	h, err := w.at(d.off, int(min(total, loadSize+maxName+1)))
	if err != nil || len(h) < loadSize {
		return err
	}
	// perf takes code_addr, not vma, for where the code is.
	start, size, index := d.order.Uint64(h[32:]), d.order.Uint64(h[40:]), d.order.Uint64(h[48:])
	text := h[loadSize:]
	for i, c := range text {
		if c == 0 {
			text = text[:i]
			break
		}
	}
	n := b.keep(text)
	if d.moves != nil {
		if d.moves[index] = n; len(d.moves) > maxSpans {
			return ErrTooLarge
		}
	}
	return b.add(start, size, n)
}

// move takes in a JIT_CODE_MOVE record.
func (d *dump) move(w *window, total int64, b *builder) error {
	if total < moveSize {
		return nil
	}
	h, err := w.at(d.off, moveSize)
	if err != nil || len(h) < moveSize {
		return err
	}
	from, to := d.order.Uint64(h[32:]), d.order.Uint64(h[40:])
	size, index := d.order.Uint64(h[48:]), d.order.Uint64(h[56:])
	if err := b.add(from, size, name{}); err != nil {
		return err
	}
	return b.add(to, size, d.moves[index])
}

// window reads a file in large pieces, where it is asked for small ones in
// ascending order.
type window struct {
	r    io.ReaderAt
	size int64
	buf  []byte
	off  int64 // of buf in the file
}

// at returns n bytes of the file at off, or fewer where it ends.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n], nil
	}
	if off >= w.size {
		return nil, nil
	}
	if w.buf == nil {
		w.buf = make([]byte, chunkSize)
	}
	b := w.buf[:cap(w.buf)]
	got, err := w.r.ReadAt(b[:min(int64(len(b)), w.size-off)], off)
	w.buf, w.off = b[:got], off
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return w.buf[:min(n, got)], err
}
