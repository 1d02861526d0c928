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
)

// frameReader reads the frames of one thread.
type frameReader struct {
	*memory
	limit *int // how many may still be read, of all threads
	most  int  // of this thread; 0: no limit
	n     int
	cut   bool // there are more than most
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
			return nil, errFrames
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
			return segs, errFrames
		}
		segs = append(segs, segment{frames: []pyFrame{{code: code, instr: uint64(int64(lasti))}}})
	}
	if !ok {
		return segs, errFrames
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
		return list, errFrames
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
			return segs, errFrames
		}
		if frame == 0 {
			continue // not the interpreter's: a coroutine library has put it there
		}
		seg := segment{at: at}
		for entered := false; !entered && err == nil; {
			var entry byte
			var f pyFrame
			if f, err = r.frame(frame); err == nil {
				seg.frames = append(seg.frames, f)
				entry, ok = r.byte(frame + r.l.frameEntry)
				frame, ok = r.previous(frame, ok)
				if entered = entry != 0; !ok || !entered && frame == 0 {
					err = errFrames
				}
			}
		}
		if i == 0 && err == errFrames {
			err = nil // the call has just begun: its variables are not set yet
			continue
		}
		segs = append(segs, seg)
		if err != nil {
			return segs, err
		}
	}
	return segs, nil
}

func (r *frameReader) previous(frame uint64, ok bool) (uint64, bool) {
	if !ok {
		return 0, false
	}
	return r.word(frame + r.l.frameBack)
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
		return nil, errFrames
	}
	before := *r
	segs, err := r.chain(frame)
	idle := c == state+r.l.threadRoot
	begun := idle || len(segs) > 0 && segs[0].at-c+sameCall < 2*sameCall || r.cut || len(segs) == 0 && err == nil
	if begun {
		return segs, err
	}
	// The call has just begun: its variables are not set yet.
	*r = before
	if frame, ok = r.word(previous + r.l.cFrameFrame); !ok {
		return nil, errFrames
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
	ok := true
	for frame != 0 {
		var owner byte
		if owner, ok = r.byte(frame + r.l.frameOwner); !ok {
			break
		}
		if owner == ownedByInterpreter || owner == ownedByCStack {
			if *r.limit--; *r.limit < 0 {
				return segs, errMany
			}
			segs = append(segs, segment{at: frame, frames: open})
			open = nil
		} else {
			var f pyFrame
			if f, err = r.frame(frame); err != nil {
				if err == errCut && len(open) > 0 {
					segs = append(segs, segment{frames: open})
				}
				return segs, err
			}
			open = append(open, f)
		}
		if frame, ok = r.word(frame + r.l.frameBack); !ok {
			break
		}
	}
	if !ok || len(open) > 0 {
		return segs, errFrames
	}
	return segs, nil
}

// frame reads a _PyInterpreterFrame.
func (r *frameReader) frame(addr uint64) (f pyFrame, err error) {
	if addr&7 != 0 {
		return f, errFrames
	}
	if err := r.take(); err != nil {
		return f, err
	}
	code, ok1 := r.word(addr + r.l.frameCode)
	f.code = code &^ 7 // from 3.14 on the lowest bits are a tag
	f.instr, _ = r.word(addr + r.l.frameInstr)
	if r.l.frameTLBC != 0 && r.l.freeThreaded {
		f.tlbc, _ = r.int32(addr + r.l.frameTLBC)
	}
	if !ok1 || !r.is(f.code, "code") {
		return f, errFrames
	}
	return f, nil
}
