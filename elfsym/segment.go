package elfsym

import (
	"debug/elf"
	"slices"
)

// Segment is a PT_LOAD program header, as the file has it.
type Segment struct {
	Vaddr, Off, Filesz, Memsz uint64
	Flags                     elf.ProgFlag
	Align                     uint64
}

// Segments returns the PT_LOAD segments in the file's order.
func (im *Image) Segments() []Segment { return slices.Clone(im.loads) }

// minPage is the smallest page size of any Linux machine.
const minPage = 4096

// Bias finds the load bias of a mapping [mapStart, mapEnd) of this file from
// file offset mapOff on: a run-time address minus bias is the link-time
// address, modulo 2^64, or 2^32 for a 32-bit file. One page of the file can be
// mapped twice, as the end of the text and as the start of the data: exec tells
// whether the mapping is executable, and segments that are so too are
// preferred. Among those, one that begins and ends on the mapping's pages comes
// before one that only begins there, and this before one that overlaps. Two
// segments of the same kind that share their only page cannot be told apart.
// It reports false when no segment's bytes lie in the mapping.
func (im *Image) Bias(mapStart, mapEnd, mapOff uint64, exec bool) (bias uint64, ok bool) {
	if mapEnd <= mapStart {
		return 0, false
	}
	mapLast := mapOff + (mapEnd - mapStart - 1)
	best := -1
	for i := range im.loads {
		s := &im.loads[i]
		if s.Filesz == 0 || mapLast < mapOff {
			continue
		}
		last := s.Off + (s.Filesz - 1)
		if last < s.Off || last < mapOff || s.Off > mapLast {
			continue
		}
		score := 0
		if exec == (s.Flags&elf.PF_X != 0) {
			score = 4
		}
		if s.Off&^(minPage-1) == mapOff {
			score++
			if last|(minPage-1) == mapLast {
				score++
			}
		}
		if score > best {
			best = score
			bias = mapStart - mapOff + s.Off - s.Vaddr
		}
	}
	return bias & im.addrMask(), best >= 0
}

// GateBias is the load bias of an image that the kernel itself maps at
// [start, end), with no file offset: the vDSO, or the gate page. It is 0 where
// the image is linked to that place (ia64's gate.so).
func (im *Image) GateBias(start, end uint64) uint64 {
	if len(im.loads) == 0 {
		return 0
	}
	first := im.loads[0].Vaddr
	linked := true
	for _, s := range im.loads {
		first = min(first, s.Vaddr)
		if s.Vaddr < start || s.Vaddr >= end {
			linked = false
		}
	}
	if linked {
		return 0
	}
	return (start - first&^(minPage-1)) & im.addrMask()
}

// Bytes returns up to n bytes of the file at a link-time address, in place:
// fewer at the end of a segment's file part, none outside.
func (im *Image) Bytes(vaddr uint64, n int) []byte {
	if n <= 0 {
		return nil
	}
	b := im.at(vaddr)
	return b[:min(n, len(b)):min(n, len(b))]
}

// Code is Bytes for code: no byte beyond the executable section that vaddr lies
// in, and none where the file does not hold it, as in a separate debug file.
func (im *Image) Code(vaddr uint64, n int) []byte {
	if im.Type == elf.ET_REL {
		return nil
	}
	sections := false
	for _, s := range im.secs {
		if !execSection(s) {
			continue
		}
		sections = true
		if vaddr-s.Addr >= s.Size {
			continue
		}
		if s.Type == elf.SHT_NOBITS {
			return nil
		}
		return im.Bytes(vaddr, int(min(uint64(max(n, 0)), s.Size-(vaddr-s.Addr))))
	}
	if sections {
		return nil
	}
	return im.Bytes(vaddr, n)
}

// at returns the bytes from vaddr to the end of its segment's file part.
func (im *Image) at(vaddr uint64) []byte {
	for i := range im.loads {
		s := &im.loads[i]
		d := vaddr - s.Vaddr
		if d >= s.Filesz || s.Off+d < d {
			continue
		}
		if b := im.clip(s.Off+d, s.Filesz-d); len(b) > 0 {
			return b
		}
	}
	return nil
}

// EhFrameHdr returns the bytes of PT_GNU_EH_FRAME, in place, and the link-time
// address at which they lie.
func (im *Image) EhFrameHdr() (addr uint64, data []byte, ok bool) {
	if im.ehHdr.Filesz == 0 {
		return 0, nil, false
	}
	data = im.clip(im.ehHdr.Off, im.ehHdr.Filesz)
	return im.ehHdr.Vaddr, data, len(data) > 0
}
