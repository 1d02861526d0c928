package annotate

import "bytes"

// offset recognises offsets in a module that no address goes with.
func (a *around) offset(q *query) (skip int, ok bool) {
	l := a.left[:len(a.left)-1]
	if !a.tok.prefix || len(l) == 0 {
		return 0, false
	}
	*q = query{place: placeLink, off: a.tok.value, exact: true}
	right := byte(0)
	if len(a.right) > 0 {
		right = a.right[0]
	}
	switch {
	case right == ']':
		// hs_err: `C  [libc.so.6+0x29d8f]`.
		open := bytes.LastIndexByte(l, '[')
		if open < 0 || open == len(l)-1 {
			return 0, false
		}
		q.module, q.place = l[open+1:], placeBase
		q.exact = !javaFrame(a.line) || !javaFrame(a.above())
		q.named = len(trimLeft(a.right[1:])) > 0
		return 0, true
	case right == ')':
		// `(/lib/libc.so.6+0x29d8f)`; but `prog(main+0x4) [0x…]` has an address
		// to come.
		open := bytes.LastIndexByte(l, '(')
		if open < 0 || open == len(l)-1 || open > 0 && !isBlank(l[open-1]) {
			return 0, false
		}
		q.module, q.id = l[open+1:], buildID(trimLeft(a.right[1:]))
		return 0, true
	}
	start := bytes.LastIndexAny(l, " \t\"'=")
	if q.module = l[start+1:]; len(q.module) < 2 || q.module[0] != '/' {
		return 0, false
	}
	q.named = named(a.right)
	return 0, true
}

// javaFrame reports whether a line is a native frame of a JVM's crash report:
// a letter for its kind, two blanks, a module in brackets or a method.
func javaFrame(line []byte) bool {
	return len(line) > 4 && bytes.IndexByte([]byte("CVvJjAa"), line[0]) >= 0 && line[1] == ' ' && line[2] == ' ' && line[3] != ' '
}

// ipKeys are what the kernel writes before an instruction pointer.
var ipKeys = [][]byte{[]byte(" ip "), []byte(" ip:"), []byte(" nip "), []byte(" pc "), []byte(" pc:"), []byte(" epc:"), []byte(" epc ")}

// kernel recognises an instruction pointer in the kernel's log, with the
// mapping that the kernel has printed for it (print_vma_addr in mm/memory.c):
// ` in NAME[START+SIZE]`, since 6.x ` in NAME[OFFSET,START+SIZE]`.
func (a *around) kernel(q *query) (skip int, ok bool) {
	if n := len(a.left); n == 0 || a.left[n-1] != ' ' && a.left[n-1] != ':' {
		return 0, false
	}
	key := false
	for _, k := range ipKeys {
		key = key || bytes.HasSuffix(a.left, k)
	}
	if !key {
		return 0, false
	}
	q.exact = true
	r := a.right
	for from := 0; ; {
		i := bytes.IndexByte(r[from:], '[')
		if i < 0 {
			return 0, a.tok.prefix || a.tok.digits() >= 8
		}
		open := from + i
		from = open + 1
		in := bytes.LastIndex(r[:open], []byte(" in "))
		if in < 0 || in+4 >= open {
			continue
		}
		if end, found := q.mapping(r[from:]); found {
			q.module = r[in+4 : open]
			return from + end, true
		}
	}
}

// mapping reads `START+SIZE]` or `OFFSET,START+SIZE]`.
func (q *query) mapping(b []byte) (end int, ok bool) {
	var off uint64
	from := placeMapping
	start, end := bareNumber(b)
	if end > 0 && end < len(b) && b[end] == ',' {
		from, off = placeFile, start
		var n int
		if start, n = bareNumber(b[end+1:]); n == 0 {
			return 0, false
		}
		end += 1 + n
	}
	if end == 0 || end >= len(b) || b[end] != '+' {
		return 0, false
	}
	size, n := bareNumber(b[end+1:])
	end += 1 + n
	if n == 0 || end >= len(b) || b[end] != ']' || q.addr-start >= size {
		return 0, false
	}
	q.place, q.off, q.mapStart, q.mapSize = from, off, start, size
	return end, true
}
