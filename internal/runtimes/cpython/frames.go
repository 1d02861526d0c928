package cpython

import "errors"

// pyFrame is a Python function that had not returned.
type pyFrame struct {
	code  uint64 // its PyCodeObject
	instr uint64 // the instruction, as the version tells it
	tlbc  int32  // which copy of its code it runs, in a free-threaded build
}

// segment is the Python frames that one C call of the interpreter runs.
type segment struct {
	// at is the address of a variable of that call, on the C stack; 0 where the
	// version has none, and where the reading was cut before it came.
	at     uint64
	frames []pyFrame // the innermost first
}

// Bounds of what is read of frames.
const (
	maxPyFrames = 1 << 18 // of all threads
	// sameCall is how far apart variables of one C call are at most.
	sameCall = 4096
)

var (
	errFrames = errors.New("the frames of a thread do not fit together")
	errMany   = errors.New("there are more frames than bt reads")
	errUnread = errors.New("the frames of a thread cannot all be read")
)

// frameReader reads the frames of one thread.
type frameReader struct {
	*memory
	limit *int // how many may still be read, of all threads
	most  int  // of this thread; 0: no limit
	n     int
	cut   bool // there are more than most

	last uint64 // a code object that was met
	buf  [maxFrameHead]byte
}

// take reports whether one more frame may be read.
func (r *frameReader) take() error {
	if *r.limit--; *r.limit < 0 {
		return errMany
	}
	if r.most > 0 && r.n >= r.most {
		r.cut = true
		return errCut
	}
	r.n++
	return nil
}

// errCut ends the reading where as many frames as are wanted were read.
var errCut = errors.New("cut")

// segments reads the frames of the thread whose PyThreadState is at state, the
// innermost segment first. With an error they are those that could be read.
func (r *frameReader) segments(state uint64) (segs []segment, err error) {
	switch {
	case !r.v.atLeast(10):
		segs, err = r.objects(state)
	case !r.v.atLeast(11):
		segs, err = r.objectsOfCFrames(state)
	case !r.v.atLeast(12):
		segs, err = r.cFrames(state)
	case !r.v.atLeast(13):
		segs, err = r.firstCFrame(state)
	default:
		frame, ok := r.word(state + r.l.threadFrame)
		if !ok {
			return nil, errUnread
		}
		segs, err = r.chain(frame)
	}
	if err == errCut {
		err = nil
	}
	return segs, err
}

// objects reads PyFrameObjects. Each has a C call of its own, so that the native stack
// bounds them.
func (r *frameReader) objects(state uint64) (segs []segment, err error) {
	frame, ok := r.word(state + r.l.threadFrame)
	for ; ok && frame != 0; frame, ok = r.word(frame + r.l.frameBack) {
		if *r.limit--; *r.limit < 0 {
			return segs, errMany
		}
		if !r.is(frame, "frame") {
			return segs, errFrames
		}
		code, ok1 := r.word(frame + r.l.frameCode)
		lasti, ok2 := r.int32(frame + r.l.frameInstr)
		if !ok1 || !ok2 {
			return segs, errUnread
		}
		segs = append(segs, segment{frames: []pyFrame{{code: code, instr: uint64(int64(lasti))}}})
	}
	if !ok {
		return segs, errUnread
	}
	return segs, nil
}

// cFrameList reads the addresses of the CFrames, which are variables of the C calls,
// the innermost first. The last one of all, the thread state's own, is left out.
func (r *frameReader) cFrameList(state uint64) (list []uint64, err error) {
	root := state + r.l.threadRoot
	c, ok := r.word(state + r.l.threadCFrame)
	for ; ok && c != root; c, ok = r.word(c + r.l.cFramePrevious) {
		if c == 0 {
			return list, errFrames
		}
		if len(list) >= maxPyFrames {
			return list, errMany
		}
		list = append(list, c)
	}
	if !ok {
		return list, errUnread
	}
	return list, nil
}

// objectsOfCFrames is objects for CPython 3.10, where each C call has a CFrame, too.
func (r *frameReader) objectsOfCFrames(state uint64) ([]segment, error) {
	calls, err := r.cFrameList(state)
	if err != nil {
		return nil, err
	}
	segs, err := r.objects(state)
	if err != nil {
		return nil, err
	}
	switch len(calls) - len(segs) {
	case 1: // the call has just begun
		calls = calls[1:]
	case -1: // it is about to return
		segs = segs[1:]
	case 0:
	default:
		return nil, errFrames
	}
	for i := range segs {
		segs[i].at = calls[i]
	}
	return segs, nil
}

// cFrames reads the frames of CPython 3.11: a _PyCFrame leads to the innermost frame of
// its C call, and is_entry marks the outermost.
func (r *frameReader) cFrames(state uint64) (segs []segment, err error) {
	calls, err := r.cFrameList(state)
	if err != nil {
		return nil, err
	}
	for i, at := range calls {
		frame, ok := r.word(at + r.l.cFrameFrame)
		if !ok {
			return segs, errUnread
		}
		if frame == 0 {
			continue // not the interpreter's: a coroutine library has put it there
		}
		seg := segment{at: at}
		seg.frames, err = r.upToEntry(frame)
		if i == 0 && err == errFrames {
			continue // the call has just begun: its variables are not set yet
		}
		segs = append(segs, seg)
		if err != nil {
			return segs, err
		}
	}
	return segs, nil
}

// upToEntry reads the frames from one on up to that by which its C call was entered.
func (r *frameReader) upToEntry(frame uint64) (frames []pyFrame, err error) {
	for frame != 0 {
		b, err := r.head(frame)
		if err != nil {
			return frames, err
		}
		f, err := r.frame(b)
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
		if b[r.l.frameEntry] != 0 {
			return frames, nil
		}
		frame = r.order.Uint64(b[r.l.frameBack:])
	}
	return frames, errFrames
}

// firstCFrame reads the frames of CPython 3.12: the innermost _PyCFrame leads to the
// chain of all frames.
func (r *frameReader) firstCFrame(state uint64) ([]segment, error) {
	c, ok := r.word(state + r.l.threadCFrame)
	if !ok || c == 0 {
		return nil, errFrames
	}
	frame, ok := r.word(c + r.l.cFrameFrame)
	previous, ok2 := r.word(c + r.l.cFramePrevious)
	if !ok || !ok2 {
		return nil, errUnread
	}
	n := r.n
	segs, err := r.chain(frame)
	idle := c == state+r.l.threadRoot
	whole := len(segs) > 0 && (segs[0].at == 0 || segs[0].at-c+sameCall < 2*sameCall)
	if idle || whole || err != nil && err != errFrames {
		return segs, err
	}
	// The call has just begun: its variables are not set yet.
	r.n = n
	if frame, ok = r.word(previous + r.l.cFrameFrame); !ok {
		return nil, errUnread
	}
	return r.chain(frame)
}

// Who owns a frame, enum _frameowner: the interpreter has put one between the frames of
// one C call and those of the next.
const (
	ownedByInterpreter = 3 // FRAME_OWNED_BY_CSTACK until 3.13
	ownedByCStack      = 4
)

// chain reads the frames from one on, as they are chained from CPython 3.12 on.
func (r *frameReader) chain(frame uint64) (segs []segment, err error) {
	var open []pyFrame // of a segment whose end has not come yet
	for frame != 0 {
		b, err := r.head(frame)
		if err != nil {
			return segs, err
		}
		if owner := b[r.l.frameOwner]; owner == ownedByInterpreter || owner == ownedByCStack {
			if *r.limit--; *r.limit < 0 {
				return segs, errMany
			}
			segs = append(segs, segment{at: frame, frames: open})
			open = nil
		} else {
			f, err := r.frame(b)
			if err == errCut && len(open) > 0 {
				segs = append(segs, segment{frames: open})
			}
			if err != nil {
				return segs, err
			}
			open = append(open, f)
		}
		frame = r.order.Uint64(b[r.l.frameBack:])
	}
	if len(open) > 0 {
		return segs, errFrames
	}
	return segs, nil
}

// maxFrameHead is more than a _PyInterpreterFrame has before its variables, in bytes.
const maxFrameHead = 256

// head reads a _PyInterpreterFrame. What it returns is valid until the next call.
func (r *frameReader) head(addr uint64) ([]byte, error) {
	n := r.l.frameSize
	if addr&7 != 0 || n > maxFrameHead || max(r.l.frameBack, r.l.frameCode, r.l.frameInstr)+8 > n || max(r.l.frameOwner, r.l.frameEntry, r.l.frameTLBC+3) >= n {
		return nil, errFrames
	}
	b := r.buf[:n]
	if r.Read(addr, b) < len(b) {
		return nil, errUnread
	}
	return b, nil
}

// frame takes a frame out of what head has read.
func (r *frameReader) frame(b []byte) (f pyFrame, err error) {
	if err := r.take(); err != nil {
		return f, err
	}
	f.code = r.order.Uint64(b[r.l.frameCode:]) &^ 7 // from 3.14 on the lowest bits are a tag
	f.instr = r.order.Uint64(b[r.l.frameInstr:])
	if r.l.frameTLBC != 0 && r.l.freeThreaded {
		f.tlbc = int32(r.order.Uint32(b[r.l.frameTLBC:]))
	}
	if f.code != r.last && !r.is(f.code, "code") {
		return f, errFrames
	}
	r.last = f.code
	return f, nil
}
