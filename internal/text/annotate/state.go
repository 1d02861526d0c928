package annotate

import "bytes"

// btState is which kind of address the next frame of bt's own output has: see
// stream, whose meaning of `# thread` and `# signal` it follows. Any other line
// ends it.
type btState struct {
	thread bool // below a `# thread` line
	exact  int  // so many frames to come are exact, whatever the rest
}

// frame takes in a frame and returns whether it is exact; returns is
// Options.ReturnAddresses.
func (s *btState) frame(returns bool) bool {
	if s.exact > 0 {
		s.exact--
		return true
	}
	return !s.thread && !returns
}

// comment takes in a line that starts with '#'.
func (s *btState) comment(line []byte) {
	switch {
	case hasWord(line, "# thread"):
		*s = btState{thread: true, exact: 1}
	case hasWord(line, "# signal"):
		s.exact = 2
	case hasWord(line, "# process"):
		*s = btState{}
	}
}

func hasWord(b []byte, prefix string) bool {
	n := len(prefix)
	return len(b) >= n && string(b[:n]) == prefix && (len(b) == n || isBlank(b[n]))
}

// after returns the state behind data, which begins in state s.
func (s btState) after(data []byte) btState {
	pos := stackStart(data, len(data))
	if pos > 0 {
		s = btState{}
	}
	for pos < len(data) {
		end := lineEnd(data, pos)
		s.line(trimEnd(data[pos:end]))
		pos = end
	}
	return s
}

// line takes in a frame or a comment.
func (s *btState) line(line []byte) {
	if len(line) > 0 && line[0] == '#' {
		s.comment(line)
	} else {
		s.frame(false)
	}
}

// stackStart returns where the lines that end at end, and are frames or
// comments all, begin. A line that heads a stack is the first of them.
func stackStart(data []byte, end int) int {
	for end > 0 {
		start := bytes.LastIndexByte(data[:end-1], '\n') + 1
		line := trimEnd(data[start:end])
		comment := len(line) > 0 && line[0] == '#'
		if !comment && !btFrame(line) {
			return end
		}
		end = start
		if comment && (hasWord(line, "# thread") || hasWord(line, "# process")) {
			// The state does not depend on what is before it. Not 0, which
			// says that it does.
			break
		}
	}
	return end
}

// lineEnd returns the end of the line that starts at pos, its newline included.
func lineEnd(data []byte, pos int) int {
	if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(data)
}

// mapsReader collects the lines of maps files in a text.
type mapsReader struct {
	text []byte // the lines of one file so far
}

// maxMaps bounds one maps file: some 200,000 mappings.
const maxMaps = 16 << 20

// read calls found with each maps file that has ended, and where it has. The
// file that ends with data may go on in what follows.
func (m *mapsReader) read(data []byte, found func(text []byte, end int)) {
	for pos := 0; pos < len(data); {
		if m.text == nil {
			if pos = nextMaps(data, pos); pos == len(data) {
				return
			}
		}
		end := lineEnd(data, pos)
		line := trimEnd(data[pos:end])
		if !mapsLine(line) {
			found(m.text, pos)
			m.end()
			pos = end
			continue
		}
		if len(m.text)+len(line) < maxMaps {
			m.text = append(append(m.text, line...), '\n')
		}
		pos = end
	}
}

func (m *mapsReader) end() { m.text = nil }

// nextMaps returns the start of the first line of maps at or after pos, itself
// the start of a line, or the length of data.
func nextMaps(data []byte, pos int) int {
	const digits = 8 // the kernel prints no fewer
	for i := pos; ; i++ {
		dash := bytes.IndexByte(data[i:], '-')
		if dash < 0 {
			return len(data)
		}
		i += dash
		if i-pos < digits || i+digits >= len(data) {
			continue
		}
		start := i
		for start > pos && isHex(data[start-1]) {
			start--
		}
		if i-start < digits || !isHex(data[i+digits]) || start > 0 && data[start-1] != '\n' {
			continue
		}
		if mapsLine(trimEnd(data[start:lineEnd(data, start)])) {
			return start
		}
	}
}
