package hotspot

import (
	"strings"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

// bytecode is a place in a method: Method*, and the index of the bytecode, or one of the
// values below.
type bytecode struct {
	method uint64
	bci    int64
}

// unknownBCI stands for a place that is not known.
const unknownBCI = -1

// Bounds of what is read of a method: the class file format has lengths of 16 bits.
const (
	maxSymbol    = 4096
	maxCodeSize  = 1 << 16
	maxLineTable = 256 << 10
)

// name returns what a place in a method is called.
func (l *layout) name(m *process.Recorder, at bytecode) (n stack.Name, ok bool) {
	cm, ok := m.Word(at.method+l.constMethod, 8)
	if !ok || cm == 0 {
		return n, false
	}
	pool, _ := m.Word(cm+l.constants, 8)
	index, ok := m.Word(cm+l.nameIndex, 2)
	if !ok || pool == 0 {
		return n, false
	}
	method, ok := l.poolSymbol(m, pool, index)
	if !ok || method == "" {
		return n, false
	}
	holder, _ := m.Word(pool+l.poolHolder, 8)
	nameAt, _ := m.Word(holder+l.klassName, 8)
	class, ok := l.symbol(m, nameAt)
	if !ok || class == "" {
		return n, false
	}
	n = stack.Name{Symbol: className(class) + "." + method, Language: language}
	in := pool
	if l.sourceOfKlass {
		in = holder
	}
	if index, ok := m.Word(in+l.sourceFile, 2); ok && index != 0 {
		n.File, _ = l.poolSymbol(m, pool, index)
	}
	n.Line = l.line(m, cm, at.bci)
	return n, true
}

// poolSymbol reads the name at an index of a constant pool, whose entries follow the
// structure.
func (l *layout) poolSymbol(m *process.Recorder, pool, index uint64) (string, bool) {
	if index == 0 {
		return "", false
	}
	at, ok := m.Word(pool+l.poolSize+8*index, 8)
	if !ok {
		return "", false
	}
	return l.symbol(m, at&^1) // JDK 8 marks some entries in the lowest bit
}

func (l *layout) symbol(m *process.Recorder, at uint64) (string, bool) {
	n, ok := m.Word(at+l.symbolLength, 2)
	if at == 0 || !ok {
		return "", false
	}
	return runtimes.String(m, at+l.symbolBody, n, maxSymbol)
}

// className is the name of a class as Java programmers write it. That of a hidden class
// ends in +0x and its address, which the JVM shows behind a slash.
func className(s string) string {
	s, hidden, isHidden := strings.Cut(s, "+0x")
	s = strings.ReplaceAll(s, "/", ".")
	if isHidden {
		s += "/0x" + hidden
	}
	return s
}

// line finds the line of a bytecode in the table that follows a method's bytecodes
// (oops/constMethod.hpp, CompressedLineNumberReadStream); 0 where there is none.
func (l *layout) line(m *process.Recorder, cm uint64, bci int64) int {
	flags, _ := m.Word(cm+l.constFlags, 2)
	size, ok := m.Word(cm+l.codeSize, 2)
	if !ok || bci < 0 || uint64(bci) > size || flags&l.hasLines == 0 {
		return 0
	}
	s := stream{m: m, at: cm + l.constMethodSize + size, left: maxLineTable, stride: l.stride}
	var at, line, best int64
	for {
		b, ok := s.byte()
		if !ok || b == 0 {
			return int(best)
		}
		if b == 0xff {
			db, ok1 := s.signed()
			dl, ok2 := s.signed()
			if !ok1 || !ok2 {
				return int(best)
			}
			at, line = at+db, line+dl
		} else {
			at, line = at+int64(b>>3), line+int64(b&7)
		}
		// The entries need not ascend. The last one before bci that is nearest counts.
		if at == bci {
			return int(line & 0xffff)
		}
		if at < bci && line > 0 && line <= 0xffff {
			if at >= s.nearest {
				s.nearest, best = at, line
			}
		}
	}
}

// stream reads HotSpot's compressed numbers, UNSIGNED5 (utilities/unsigned5.hpp).
type stream struct {
	m       *process.Recorder
	at      uint64
	left    int // bytes that may be read
	stride  int // the least value of a byte: JDK 20 keeps zero bytes out
	nearest int64
	buf     [64]byte
	held    []byte
}

func (s *stream) byte() (byte, bool) {
	if len(s.held) == 0 {
		n := min(len(s.buf), s.left)
		n = s.m.Read(s.at, s.buf[:n])
		if n <= 0 {
			return 0, false
		}
		s.held = s.buf[:n]
		s.at += uint64(n)
		s.left -= n
	}
	b := s.held[0]
	s.held = s.held[1:]
	return b, true
}

// unsigned reads a number of one to five digits to the base of 64, the lowest first.
func (s *stream) unsigned() (uint32, bool) {
	const high = 256 - 64 // digits from here on have another one behind them
	var sum uint32
	for i := range 5 {
		b, ok := s.byte()
		if !ok || int(b) < s.stride {
			return 0, false
		}
		sum += uint32(int(b)-s.stride) << (6 * i)
		if b < high {
			return sum, true
		}
	}
	return sum, true
}

func (s *stream) signed() (int64, bool) {
	v, ok := s.unsigned()
	return int64(int32(v>>1) ^ -int32(v&1)), ok
}
