package cfi

import (
	"bytes"
	"math/bits"
	"sync/atomic"
)

// section is .eh_frame or .debug_frame.
type section struct {
	name    string
	data    []byte
	eh      bool // the .eh_frame flavour of the format
	big     bool
	ptrSize int
	bases   bases

	// cies keeps the first CIEs that rows were made from, by offset modulo
	// its length. Linkers merge CIEs, so that a handful serves an image.
	cies [8]atomic.Pointer[cieState]
}

// entry is the head that CIEs and FDEs share.
type entry struct {
	off  int    // of the length field
	id   int    // of the CIE ID or CIE pointer field
	body int    // of what follows that field
	end  int    // of the byte behind the entry
	ref  uint64 // the CIE ID or CIE pointer field
	cie  bool
}

// maxAugmentation bounds the augmentation string, so that reading a CIE takes
// constant time.
const maxAugmentation = 32

// cie is what the FDEs that refer to a common information entry share.
type cie struct {
	off       int
	enc       byte // of FDE addresses
	lsda      byte // of the LSDA pointer, peOmit when there is none
	ptrSize   int
	segment   int // bytes of a segment selector
	z         bool
	signal    bool
	codeAlign uint64
	dataAlign int64
	ra        uint64
	insns     int // the initial instructions lie at [insns, end)
	end       int
}

// cieState is a CIE and, once it is ready, what its instructions establish.
type cieState struct {
	cie
	initial state
	ready   bool
}

// fde is a frame description entry with its CIE, which is either kept by the
// section or own.
type fde struct {
	span
	cie *cieState
	own cieState
}

// span is what a frame description entry says by itself: the program for pcs
// in [start, end).
type span struct {
	off        int
	start, end uint64
	insns      int // the instructions lie at [insns, insnsEnd)
	insnsEnd   int
}

func (s *section) reader(off, end int) reader {
	return reader{data: s.data[:end], off: off, big: s.big}
}

// entry reads the head of the entry at off. A nil error and an entry of
// no body (end == body == id) is a terminator or padding.
func (s *section) entry(off int) (entry, error) {
	if off < 0 || off > len(s.data) {
		return entry{}, s.errorf(off, "no entry there")
	}
	r := s.reader(off, len(s.data))
	n := r.u32()
	refSize := 4
	if n == 0xffffffff { // 64-bit DWARF, section 7.4
		n = r.uint(8)
		// In .eh_frame the CIE ID keeps its four bytes (LSB Core,
		// "The CIE ID field: a 4 byte unsigned value").
		if !s.eh {
			refSize = 8
		}
	}
	if r.failed {
		return entry{}, s.errorf(off, "entry's length is cut short")
	}
	e := entry{off: off, id: r.off, body: r.off, end: r.off}
	if n == 0 {
		return e, nil
	}
	if n > uint64(len(s.data)-r.off) {
		return entry{}, s.errorf(off, "entry is longer than its section")
	}
	if n < uint64(refSize) {
		return entry{}, s.errorf(off, "entry is too short")
	}
	e.end = r.off + int(n)
	if refSize == 4 {
		e.ref = r.u32()
	} else {
		e.ref = r.uint(8)
	}
	e.body = r.off
	switch {
	case s.eh:
		e.cie = e.ref == 0
	case refSize == 4:
		e.cie = e.ref == 0xffffffff
	default:
		e.cie = e.ref == 0xffffffffffffffff
	}
	return e, nil
}

// cieOffset returns where the CIE is that the FDE head e refers to. It need not
// precede the FDE, and need not exist.
func (s *section) cieOffset(e *entry) uint64 {
	if s.eh { // backwards from the field itself
		return uint64(e.id) - e.ref
	}
	return e.ref
}

// cieAt parses the CIE at off.
func (s *section) cieAt(off uint64, c *cie) error {
	if off >= uint64(len(s.data)) {
		return s.errorf(len(s.data), "CIE pointer leads out of the section")
	}
	h, err := s.entry(int(off))
	if err != nil {
		return err
	}
	if !h.cie {
		return s.errorf(int(off), "CIE pointer does not point to a CIE")
	}
	return s.cie(&h, c)
}

// cie parses the CIE with the head h.
func (s *section) cie(h *entry, c *cie) error {
	*c = cie{off: h.off, lsda: peOmit, ptrSize: s.ptrSize, end: h.end}
	r := s.reader(h.body, h.end)

	version := r.u8()
	switch version {
	case 1, 3, 4, 5:
	default:
		return s.errorf(h.body, "unknown CIE version")
	}

	augOff := r.off
	aug, ok := augmentation(r.data[r.off:])
	if !ok {
		return s.errorf(r.off, "unterminated CIE augmentation")
	}
	r.off += len(aug) + 1

	if len(aug) >= 2 && aug[0] == 'e' && aug[1] == 'h' { // gcc 2: a pointer to exception data
		r.uint(s.ptrSize)
		aug = aug[2:]
	}
	if version >= 4 {
		c.ptrSize = int(r.u8())
		c.segment = int(r.u8())
		if c.ptrSize != 2 && c.ptrSize != 4 && c.ptrSize != 8 {
			return s.errorf(r.off, "CIE address size is not 2, 4 or 8")
		}
		switch c.segment {
		case 0, 1, 2, 4, 8:
		default:
			return s.errorf(r.off, "CIE segment selector size is not 0, 1, 2, 4 or 8")
		}
	}
	c.codeAlign = r.uleb()
	c.dataAlign = r.sleb()
	if version == 1 {
		c.ra = uint64(r.u8())
	} else {
		c.ra = r.uleb()
	}

	if len(aug) > 0 && aug[0] == 'z' {
		c.z = true
		aug = aug[1:]
		data := r.block()
		c.insns = r.off
		r.off -= len(data)
	}
	if r.failed {
		return s.errorf(r.off, "CIE is cut short")
	}
	if msg := c.augment(aug, &r, &s.bases); msg != "" {
		return s.errorf(augOff, msg)
	}
	if !c.z {
		c.insns = r.off
	}
	return nil
}

// augmentation cuts the augmentation string, which ends in a zero, off b.
func augmentation(b []byte) (aug []byte, ok bool) {
	n := bytes.IndexByte(b[:min(len(b), maxAugmentation+1)], 0)
	if n < 0 {
		return nil, false
	}
	return b[:n], true
}

// augment reads the augmentation data at r, as the letters of the augmentation
// string say. It returns what is wrong with it, or "".
func (c *cie) augment(letters []byte, r *reader, b *bases) string {
	for _, a := range letters {
		switch a {
		case 'R':
			c.enc = r.u8()
		case 'L':
			c.lsda = r.u8()
		case 'P':
			r.skipPointer(r.u8(), c.ptrSize, b)
		case 'S':
			c.signal = true
		case 'B', 'G': // AArch64: which key signs, tagged stack memory
		default:
			if !c.z {
				return "unknown CIE augmentation"
			}
			// The length is known, so that what the letter means
			// can be passed over, and so is all that follows it.
			return ""
		}
		if r.failed || c.z && r.off > c.insns {
			return "CIE augmentation data is cut short"
		}
	}
	return ""
}

// fde parses the FDE with the head h. c must be its CIE.
func (s *section) fde(h *entry, c *cie, f *span) error {
	r := s.reader(h.body, h.end)
	if c.segment != 0 {
		r.uint(c.segment)
	}
	mask := addrMask(c.ptrSize)
	var start, size uint64
	switch c.enc {
	case pePcrel | peSdata4: // nearly all there is
		at := s.bases.section + uint64(r.off)
		start = (at + signExtend(r.u32(), 4)) & mask
		size = r.u32()
	case peOmit:
		return s.errorf(c.off, "CIE omits the address encoding of its FDEs")
	default:
		start = r.pointer(c.enc, c.ptrSize, &s.bases)
		// The size has the format of the start but is relative to
		// nothing and has no sign.
		if n := fixedSize(c.enc, c.ptrSize); n != 0 {
			size = r.uint(n)
		} else {
			size = r.value(c.enc, c.ptrSize)
		}
	}
	if c.z {
		r.block()
	} else {
		r.skipPointer(c.lsda, c.ptrSize, &s.bases)
	}
	if r.failed {
		return s.errorf(h.off, "FDE is cut short")
	}
	end, carry := bits.Add64(start, size, 0)
	if carry != 0 {
		end = mask
	} else if c.ptrSize < 8 && end > mask+1 {
		end = mask + 1
	}
	*f = span{off: h.off, start: start, end: end, insns: r.off, insnsEnd: h.end}
	return nil
}

func (s *section) cieSlot(off uint64) *atomic.Pointer[cieState] {
	return &s.cies[off/4%uint64(len(s.cies))]
}

// fdeAt parses the FDE at off and its CIE.
func (s *section) fdeAt(off int, f *fde) error {
	h, err := s.entry(off)
	if err != nil {
		return err
	}
	if h.cie || h.end == h.id {
		return s.errorf(off, "no FDE there")
	}
	at := s.cieOffset(&h)
	if c := s.cieSlot(at).Load(); c != nil && uint64(c.off) == at {
		f.cie = c
	} else {
		f.own.ready = false
		f.cie = &f.own
		if err := s.cieAt(at, &f.own.cie); err != nil {
			return err
		}
	}
	return s.fde(&h, &f.cie.cie, &f.span)
}
