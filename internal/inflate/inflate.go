// Package inflate decompresses zlib streams (RFC 1950, RFC 1951) that are in memory as a
// whole, as the debug sections of ELF files are. It is about three times as fast as
// compress/zlib, which reads a stream byte by byte through a window.
package inflate

import (
	"encoding/binary"
	"errors"
	"hash/adler32"
)

// ErrCorrupt means that the stream is malformed, cut short, or yields another number of
// bytes than it should.
var ErrCorrupt = errors.New("malformed zlib stream")

// Zlib returns the size bytes that a stream yields. The buffer grows with what really
// comes, as the size may lie. The caller bounds size.
func Zlib(in []byte, size int) ([]byte, error) {
	const head, deflate, dictionary = 2, 8, 0x20
	if len(in) < head || in[0]&15 != deflate || in[0]>>4 > 7 || in[1]&dictionary != 0 || (uint(in[0])<<8|uint(in[1]))%31 != 0 || size < 0 {
		return nil, ErrCorrupt
	}
	d := decoder{in: in, pos: head, size: size, out: make([]byte, min(size, 4*len(in))+slack)}
	for last := false; !last; {
		d.refill()
		last = d.bits&1 != 0
		kind := d.bits >> 1 & 3
		if !d.take(3) || !d.block(kind) {
			return nil, ErrCorrupt
		}
	}
	d.align()
	if d.p != size || d.pos+4 > len(in) {
		return nil, ErrCorrupt
	}
	out := d.out[:size:size]
	if binary.BigEndian.Uint32(in[d.pos:]) != adler32.Checksum(out) {
		return nil, ErrCorrupt
	}
	return out, nil
}

// decoder decodes one stream.
type decoder struct {
	in   []byte
	pos  int    // of the next byte that is not in bits
	bits uint64 // read and not yet used, the next one lowest
	n    uint   // how many
	out  []byte // with room for slack bytes behind size
	p    int    // how much of it is there
	size int

	lit, dist table
	lens      [286 + 32]uint8
}

// slack is the room behind what is wanted: for the longest match, which may overshoot.
const slack = 258 + 16

// refill makes n at least 56, or all that is left of the input.
func (d *decoder) refill() {
	if d.pos+8 <= len(d.in) {
		d.bits |= binary.LittleEndian.Uint64(d.in[d.pos:]) << d.n
		d.pos += int(63-d.n) >> 3
		d.n |= 56
		return
	}
	for d.n <= 56 && d.pos < len(d.in) {
		d.bits |= uint64(d.in[d.pos]) << d.n
		d.pos++
		d.n += 8
	}
}

// take uses n bits. It reports false where there are fewer.
func (d *decoder) take(n uint) bool {
	if n > d.n {
		return false
	}
	d.bits >>= n
	d.n -= n
	return true
}

// align gives back the bytes that were read ahead, and drops the rest of one that was
// used in part.
func (d *decoder) align() {
	d.pos -= int(d.n / 8)
	d.bits, d.n = 0, 0
}

// block decodes a block of a kind (RFC 1951, 3.2.3).
func (d *decoder) block(kind uint64) bool {
	switch kind {
	case 0:
		return d.stored()
	case 1:
		d.fixed()
	case 2:
		if !d.tables() {
			return false
		}
	default:
		return false
	}
	return d.codes()
}

func (d *decoder) stored() bool {
	d.align()
	if d.pos+4 > len(d.in) {
		return false
	}
	n := int(binary.LittleEndian.Uint16(d.in[d.pos:]))
	if n^0xffff != int(binary.LittleEndian.Uint16(d.in[d.pos+2:])) {
		return false
	}
	d.pos += 4
	if n > len(d.in)-d.pos || n > d.size-d.p {
		return false
	}
	d.room(n)
	copy(d.out[d.p:], d.in[d.pos:d.pos+n])
	d.pos, d.p = d.pos+n, d.p+n
	return true
}

// room makes room for n bytes and slack.
func (d *decoder) room(n int) {
	if d.p+n+slack <= len(d.out) {
		return
	}
	out := make([]byte, max(min(2*len(d.out), d.size), d.p+n)+slack)
	copy(out, d.out[:d.p])
	d.out = out
}

// fixed makes the tables of 3.2.6.
func (d *decoder) fixed() {
	var l [288]uint8
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	d.lit.build(l[:], litRoot, litEntry)
	d.dist.build([]uint8{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, distRoot, distEntry)
}

// order is that of the lengths of the code for code lengths (3.2.7).
var order = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// tables reads the codes of a block that has its own (3.2.7).
func (d *decoder) tables() bool {
	d.refill()
	nlit, ndist, ncode := int(d.bits&31)+257, int(d.bits>>5&31)+1, int(d.bits>>10&15)+4
	if !d.take(14) || nlit > 286 || ndist > 30 {
		return false
	}
	var code [19]uint8
	for i := range ncode {
		d.refill()
		code[order[i]] = uint8(d.bits & 7)
		if !d.take(3) {
			return false
		}
	}
	if !d.dist.build(code[:], codeRoot, codeEntry) {
		return false
	}
	lens := d.lens[:nlit+ndist]
	for i := 0; i < len(lens); {
		d.refill()
		e := d.dist.e[d.bits&(1<<codeRoot-1)]
		if e == 0 || !d.take(uint(e&15)) {
			return false
		}
		sym := uint8(e >> 16)
		if sym < 16 {
			lens[i] = sym
			i++
			continue
		}
		var again uint8
		base, extra := 3, uint(2)
		switch sym {
		case 16:
			if i == 0 {
				return false
			}
			again = lens[i-1]
		case 17:
			extra = 3
		default:
			base, extra = 11, 7
		}
		n := base + int(d.bits&(1<<extra-1))
		if !d.take(extra) || n > len(lens)-i {
			return false
		}
		for range n {
			lens[i] = again
			i++
		}
	}
	return lens[endOfBlock] != 0 && d.lit.build(lens[:nlit], litRoot, litEntry) && d.dist.build(lens[nlit:], distRoot, distEntry)
}

// codes decodes literals and matches up to the end of the block.
func (d *decoder) codes() bool {
	lit, dist := d.lit.e, d.dist.e
	for {
		d.room(0)
		// As long as there are slack bytes of room, and sixteen of input.
		out, in, p, pos, bits, n := d.out, d.in, d.p, d.pos, d.bits, d.n
		for p+slack <= len(out) && pos+16 <= len(in) {
			bits |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
			pos += int(63-n) >> 3
			n |= 56
			e := lit[bits&(1<<litRoot-1)]
			if e&kindMask == kindLiteral {
				// Up to three literals, of 15 bits at most, and the code behind them.
				out[p] = byte(e >> 16)
				p++
				bits, n = bits>>(e&15), n-uint(e&15)
				if e = lit[bits&(1<<litRoot-1)]; e&kindMask == kindLiteral {
					out[p] = byte(e >> 16)
					p++
					bits, n = bits>>(e&15), n-uint(e&15)
					continue
				}
				bits |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
				pos += int(63-n) >> 3
				n |= 56
			}
			if e&kindMask == kindLink {
				e = lit[uint64(e>>16)+bits>>litRoot&(1<<(e>>8&15)-1)]
			}
			bits, n = bits>>(e&15), n-uint(e&15)
			switch e & kindMask {
			case kindLiteral:
				out[p] = byte(e >> 16)
				p++
				continue
			case kindEnd:
				d.p, d.pos, d.bits, d.n = p, pos, bits, n
				return p <= d.size
			case kindBase:
			default:
				return false
			}
			length := int(e>>16) + int(bits&(1<<(e>>8&15)-1))
			bits, n = bits>>(e>>8&15), n-uint(e>>8&15)
			if e = dist[bits&(1<<distRoot-1)]; e&kindMask == kindLink {
				e = dist[uint64(e>>16)+bits>>distRoot&(1<<(e>>8&15)-1)]
			}
			bits, n = bits>>(e&15), n-uint(e&15)
			far := int(e>>16) + int(bits&(1<<(e>>8&15)-1))
			bits, n = bits>>(e>>8&15), n-uint(e>>8&15)
			if e&kindMask != kindBase || far > p {
				return false
			}
			match(out, p, far, length)
			p += length
		}
		d.p, d.pos, d.bits, d.n = p, pos, bits, n
		if p > d.size {
			return false
		}
		if p+slack > len(out) {
			if p < d.size {
				d.room(1)
				continue
			}
			if len(out) < d.size+2*slack {
				d.out = append(out[:len(out):len(out)], make([]byte, slack)...)
			}
		}
		if done, ok := d.one(); !ok || done {
			return ok && d.p <= d.size
		}
	}
}

// one is a step of codes close to the end of the input.
func (d *decoder) one() (done, ok bool) {
	d.refill()
	e, ok := d.symbol(&d.lit, litRoot)
	if !ok {
		return false, false
	}
	switch e & kindMask {
	case kindLiteral:
		d.out[d.p] = byte(e >> 16)
		d.p++
		return false, true
	case kindEnd:
		return true, true
	case kindBase:
	default:
		return false, false
	}
	length := int(e>>16) + int(d.bits&(1<<(e>>8&15)-1))
	if !d.take(uint(e >> 8 & 15)) {
		return false, false
	}
	if e, ok = d.symbol(&d.dist, distRoot); !ok || e&kindMask != kindBase {
		return false, false
	}
	far := int(e>>16) + int(d.bits&(1<<(e>>8&15)-1))
	if !d.take(uint(e>>8&15)) || far > d.p {
		return false, false
	}
	match(d.out, d.p, far, length)
	d.p += length
	return false, true
}

func (d *decoder) symbol(t *table, root uint) (e uint32, ok bool) {
	e = t.e[d.bits&(1<<root-1)]
	if e&kindMask == kindLink {
		e = t.e[uint64(e>>16)+d.bits>>root&(1<<(e>>8&15)-1)]
	}
	return e, e != 0 && d.take(uint(e&15))
}

// match copies length bytes from far before p to p; the two may overlap.
func match(out []byte, p, far, length int) {
	from := p - far
	// What is there to be copied grows with each copy.
	for length > 0 {
		k := copy(out[p:p+length], out[from:p])
		p, length = p+k, length-k
	}
}
