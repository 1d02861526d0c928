package cfi

import (
	"encoding/binary"
	"errors"
	"sort"
)

// hdr is an .eh_frame_hdr (LSB Core, "The .eh_frame_hdr section"): a table of
// (first pc, address of the FDE) sorted by pc, searched where it lies.
type hdr struct {
	data    []byte
	addr    uint64
	big     bool
	ptrSize int
	enc     byte
	table   int // offset of the table
	count   int
	size    int // bytes of one address; an entry is two of them
	mask    uint64
	bases   bases
}

// parseHdr prepares the search; ok is false when the section has no table that
// can be searched.
func parseHdr(sec Section, ptrSize int, big bool, b bases) (h hdr, ok bool) {
	b.section, b.data = sec.Addr, sec.Addr // datarel means relative to the header here
	r := reader{data: sec.Data, big: big}
	if r.u8() != 1 {
		return hdr{}, false
	}
	ptrEnc, countEnc, tableEnc := r.u8(), r.u8(), r.u8()
	if r.failed || countEnc == peOmit || tableEnc == peOmit || tableEnc&peIndirect != 0 || tableEnc&0x70 >= peAligned {
		return hdr{}, false
	}
	r.skipPointer(ptrEnc, ptrSize, &b)
	count := r.pointer(countEnc, ptrSize, &b)
	size := fixedSize(tableEnc, ptrSize)
	if r.failed || size == 0 || count == 0 || count > uint64((len(r.data)-r.off)/(2*size)) {
		return hdr{}, false
	}
	return hdr{
		data: sec.Data, addr: sec.Addr, big: big, ptrSize: ptrSize,
		enc: tableEnc, table: r.off, count: int(count), size: size,
		mask: addrMask(ptrSize), bases: b,
	}, true
}

// pointer reads the address at off, which lies within the table.
func (h *hdr) pointer(off int) uint64 {
	if h.enc == peDatarel|peSdata4 { // what every linker writes
		return (h.addr + signExtend(word(h.data[off:], 4, h.big), 4)) & h.mask
	}
	r := reader{data: h.data, off: off, big: h.big}
	return r.pointer(h.enc, h.ptrSize, &h.bases)
}

// loc returns the first pc of entry i.
func (h *hdr) loc(i int) uint64 { return h.pointer(h.table + 2*h.size*i) }

// fde returns the address of the FDE of entry i.
func (h *hdr) fde(i int) uint64 { return h.pointer(h.table + 2*h.size*i + h.size) }

// search returns the last entry that starts at or before pc, or -1.
func (h *hdr) search(pc uint64) int {
	if h.enc == peDatarel|peSdata4 && !h.big {
		table := h.data[h.table:]
		lo, n := 0, h.count
		for n > 0 {
			half := n / 2
			v := int32(binary.LittleEndian.Uint32(table[(lo+half)*8:]))
			if (h.addr+uint64(v))&h.mask <= pc {
				lo += half + 1
				n -= half + 1
			} else {
				n = half
			}
		}
		return lo - 1
	}
	return sort.Search(h.count, func(i int) bool { return h.loc(i) > pc }) - 1
}

// EhFrameAddr returns the link-time address of .eh_frame as an .eh_frame_hdr
// tells it, for images that have segments but no sections. Indirect pointers,
// which no linker writes, are an error. ptrSize is as in Config.
func EhFrameAddr(sec Section, ptrSize int, order binary.ByteOrder) (uint64, error) {
	r := reader{data: sec.Data, big: isBig(order)}
	version, enc := r.u8(), r.u8()
	r.off = 4
	if r.failed || version != 1 || enc == peOmit || enc&peIndirect != 0 {
		return 0, errors.New("cfi: .eh_frame_hdr does not tell where .eh_frame is")
	}
	v := r.pointer(enc, addrSize(ptrSize), &bases{section: sec.Addr, data: sec.Addr})
	if r.failed {
		return 0, errors.New("cfi: .eh_frame_hdr is cut short")
	}
	return v, nil
}
