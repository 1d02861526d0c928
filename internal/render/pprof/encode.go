package pprof

import "encoding/binary"

// message is an encoded protocol buffer message, to which fields are added
// (https://protobuf.dev/programming-guides/encoding/). Fields that are zero are left
// out, as proto3 does.
type message []byte

// The wire types that profile.proto takes.
const (
	wireVarint = 0
	wireBytes  = 2
)

func (m *message) tag(field, wire int) {
	*m = binary.AppendUvarint(*m, uint64(field<<3|wire))
}

func (m *message) uint(field int, v uint64) {
	if v != 0 {
		m.tag(field, wireVarint)
		*m = binary.AppendUvarint(*m, v)
	}
}

func (m *message) int(field int, v int64) { m.uint(field, uint64(v)) }

func (m *message) bool(field int, v bool) {
	if v {
		m.uint(field, 1)
	}
}

// bytes adds a string or another message, also an empty one.
func (m *message) bytes(field int, b []byte) {
	m.tag(field, wireBytes)
	*m = append(binary.AppendUvarint(*m, uint64(len(b))), b...)
}

// packed adds a list of numbers.
func (m *message) packed(field int, list []uint64) {
	var b message
	for _, v := range list {
		b = binary.AppendUvarint(b, v)
	}
	m.bytes(field, b)
}
