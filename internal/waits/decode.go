//go:build linux

package waits

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/process"
)

// decoder tells one system call of one thread.
type decoder struct {
	reader *reader
	t      *process.Unwound
	m      *process.Recorder // nil: nothing was read
	call   arch.Call
	name   string
}

// How much of what arguments point to is copied.
const (
	maxPath    = 128
	maxPolled  = 64
	pollfdSize = 8
	addrSize   = 128 // struct sockaddr_storage
)

// appendMemory adds to dst the memory that is wanted of a thread in a system call.
func appendMemory(dst []process.Range, a *arch.Arch, c *arch.Call) []process.Range {
	name := a.Syscalls.Name(c.Nr)
	mask := ^uint64(0)
	if a.PtrSize == 4 {
		mask = 1<<32 - 1
	}
	at := func(i int) uint64 { return c.Args[i] & mask }
	if name == "restart_syscall" {
		// Which one it was is known when the stack is: those that can be.
		for i := range 4 {
			dst = appendRange(dst, at(i), 16)
		}
		return appendRange(dst, at(0)-around, 2*around)
	}
	k := kinds()[name]
	switch k.class {
	case futexCall:
		before := uint64(around)
		if a.PtrSize == 8 && c.Args[1]&futexPrivate == 0 {
			before = beforeJoinWord // pthread_join waits so
		}
		dst = appendRange(dst, at(0)-before, before+around)
	case pollCall:
		dst = appendRange(dst, at(0), pollfdSize*min(at(1), maxPolled))
	case selectCall:
		bits := (min(at(0), unix.FD_SETSIZE) + 63) / 64 * 8
		for i := 1; i <= 3; i++ {
			dst = appendRange(dst, at(i), bits)
		}
	case connectCall:
		dst = appendRange(dst, at(1), min(at(2), addrSize))
	case fcntlCall:
		dst = appendRange(dst, at(2), 32)
	}
	for i, arg := range k.args {
		switch arg {
		case 's':
			dst = appendRange(dst, at(i), maxPath)
		case 't', 'T', 'V':
			dst = appendRange(dst, at(i), 16)
		}
	}
	return dst
}

// appendRange adds n bytes at addr, in parts that do not cross pages, one of which may
// not be there.
func appendRange(dst []process.Range, addr, n uint64) []process.Range {
	const page = 4096
	for n > 0 && addr >= page && addr+n > addr {
		size := min(n, page-addr%page)
		dst = append(dst, process.Range{Start: addr, Len: size})
		addr, n = addr+size, n-size
	}
	return dst
}

// decode tells what the call waits for; where that is not certain, the call with its
// arguments. It reports false for a call that is not known.
func (d *decoder) decode() (w wait, ok bool) {
	if d.m == nil {
		d.m = process.NewRecorder(nil)
	}
	if d.name == "" {
		w.Call = "system call " + strconv.Itoa(d.call.Nr)
		w.Text = w.Call
		return w, true
	}
	if d.t.Arch.PtrSize == 4 {
		for i := range d.call.Args {
			d.call.Args[i] &= 1<<32 - 1
		}
	}
	k := kinds()[d.name]
	if d.call.Lost {
		w.Call, w.Text = d.name, d.name
		return w, true
	}
	switch k.class {
	case futexCall:
		w, ok = d.futex()
	case fdCall:
		w, ok = d.file(k.fd, k.writes)
	case pollCall:
		w, ok = d.poll()
	case selectCall:
		w, ok = d.selects()
	case epollCall:
		w, ok = d.file(0, false)
		w.Text += d.left()
	case sleepCall:
		w, ok = d.sleep()
	case childCall:
		w, ok = d.children()
	case connectCall:
		w, ok = d.connect()
	case flockCall:
		w, ok = d.lock()
	case fcntlCall:
		if w, ok = d.fcntl(); !ok {
			w, ok = d.file(0, false)
		}
	}
	if !ok {
		w = wait{}
		w.Text = d.generic(k)
	}
	w.Call = d.name
	return w, true
}

// generic is the call with its arguments, as far as their kinds are known.
func (d *decoder) generic(k kind) string {
	args := k.args
	if k.class == futexCall {
		return d.name + "(" + hexa(d.call.Args[0]) + ", " + futexOp(uint32(d.call.Args[1])) + ")"
	}
	if d.name == "restart_syscall" {
		return d.name + "()"
	}
	if args == "" && !k.known {
		// A call of which nothing is known: its registers.
		args = "xxxxxx"
	}
	parts := make([]string, 0, len(args))
	for i := 0; i < len(args) && i < len(d.call.Args); i++ {
		parts = append(parts, d.argument(args[i], d.call.Args[i]))
	}
	return d.name + "(" + strings.Join(parts, ", ") + ")"
}

// argument tells one argument: see kind.args.
func (d *decoder) argument(kind byte, v uint64) string {
	switch kind {
	case 'd', 'i':
		return strconv.Itoa(int(int32(v)))
	case 'D':
		if int32(v) == unix.AT_FDCWD {
			return "AT_FDCWD"
		}
		return strconv.Itoa(int(int32(v)))
	case 'u':
		return strconv.FormatUint(v, 10)
	case 's':
		if s, ok := d.path(v); ok {
			return `"` + s + `"`
		}
	case 't', 'T':
		if v == 0 {
			return "NULL"
		}
		if t, ok := d.timespec(v); ok {
			return t.String()
		}
	}
	if v == 0 && (kind == 'p' || kind == 's') {
		return "NULL"
	}
	return hexa(v)
}

// path is the string at addr, harmless to print.
func (d *decoder) path(addr uint64) (string, bool) {
	b := make([]byte, maxPath)
	b = b[:d.m.Read(addr, b)]
	if len(b) == 0 {
		return "", false
	}
	if s, _, ok := bytes.Cut(b, []byte{0}); ok {
		return escape.Name(string(s)), true
	}
	return escape.Name(string(b)) + "…", len(b) == maxPath
}

func hexa(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }

// futexOp names an operation with its flags.
func futexOp(op uint32) string {
	names := [...]string{"FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_FD", "FUTEX_REQUEUE", "FUTEX_CMP_REQUEUE", "FUTEX_WAKE_OP",
		"FUTEX_LOCK_PI", "FUTEX_UNLOCK_PI", "FUTEX_TRYLOCK_PI", "FUTEX_WAIT_BITSET", "FUTEX_WAKE_BITSET",
		"FUTEX_WAIT_REQUEUE_PI", "FUTEX_CMP_REQUEUE_PI", "FUTEX_LOCK_PI2"}
	n := op &^ futexCommand
	if n >= uint32(len(names)) {
		return hexa(uint64(op))
	}
	text := names[n]
	if op&futexPrivate != 0 {
		text += "_PRIVATE"
	}
	if op&futexRealtime != 0 {
		text += "|FUTEX_CLOCK_REALTIME"
	}
	return text
}

// timespec reads a struct timespec, or the timeval of select with microseconds.
func (d *decoder) timespec(addr uint64) (time.Duration, bool) { return d.time(addr, time.Nanosecond) }

func (d *decoder) time(addr uint64, unit time.Duration) (time.Duration, bool) {
	size := 8
	if d.t.Arch.Syscalls.Struct32 && !strings.HasSuffix(d.name, "time64") {
		size = 4
	}
	sec, ok := d.m.Word(addr, size)
	part, ok2 := d.m.Word(addr+uint64(size), size)
	if size == 4 {
		sec = uint64(int64(int32(sec)))
	}
	// Two centuries are not for ever, but as much as a Duration holds.
	if !ok || !ok2 || sec > 200*365*24*3600 || part >= uint64(time.Second/unit) {
		return 0, false
	}
	return time.Duration(sec)*time.Second + time.Duration(part)*unit, true
}

// left tells how long the call waits at most: ", 3.2s left" for an absolute time,
// ", for at most 5s" for one from the call on.
func (d *decoder) left() string {
	k := kinds()[d.name]
	i := strings.IndexAny(k.args, "tTVm")
	if i < 0 {
		return ""
	}
	v := d.call.Args[i]
	switch k.args[i] {
	case 'm': // milliseconds, negative for ever
		if ms := int32(v); ms >= 0 {
			return ", for at most " + (time.Duration(ms) * time.Millisecond).String()
		}
		return ""
	case 'V':
		if t, ok := d.time(v, time.Microsecond); ok {
			return ", " + t.Round(time.Millisecond).String() + " left"
		}
		return ""
	}
	if v == 0 {
		return ""
	}
	t, ok := d.timespec(v)
	if !ok {
		return ", with a timeout"
	}
	if clock, absolute := d.clock(); absolute {
		return d.until(clock, t)
	}
	switch kinds()[d.name].class {
	case selectCall, pollCall:
		// The kernel writes down what is left when a stop interrupts these
		// (poll_select_finish in fs/select.c).
		return ", " + t.Round(time.Millisecond).String() + " left"
	}
	return ", for at most " + t.Round(time.Millisecond).String()
}

// clock is the clock of a timeout that is absolute.
func (d *decoder) clock() (clock int32, absolute bool) {
	switch kinds()[d.name].class {
	case futexCall:
		op := uint32(d.call.Args[1])
		switch op &^ futexCommand {
		case futexLockPI:
			return unix.CLOCK_REALTIME, true
		case futexWaitBitset, futexLockPI2:
			if op&futexRealtime != 0 {
				return unix.CLOCK_REALTIME, true
			}
			return unix.CLOCK_MONOTONIC, true
		}
	case sleepCall:
		const timerAbstime = 1
		if strings.HasPrefix(d.name, "clock_") && d.call.Args[1]&timerAbstime != 0 {
			return int32(d.call.Args[0]), true
		}
	}
	return 0, false
}

// until tells how long it is to a time. In a core, and where the process has another
// notion of the time, only that there is one.
func (d *decoder) until(clock int32, t time.Duration) string {
	now := d.reader.now[0]
	if clock == unix.CLOCK_MONOTONIC && d.reader.files.sameClock() {
		now = d.reader.now[1]
	} else if clock != unix.CLOCK_REALTIME {
		now = 0
	}
	if d.reader.files == nil || now == 0 {
		return ", with a timeout"
	}
	rest := t - time.Duration(now)
	if rest <= 0 {
		return ", whose time is up"
	}
	return ", " + rest.Round(time.Millisecond).String() + " left"
}

// sleep is nanosleep and clock_nanosleep.
func (d *decoder) sleep() (w wait, ok bool) {
	i := strings.IndexByte(kinds()[d.name].args, 't')
	t, ok := d.timespec(d.call.Args[i])
	if !ok {
		return w, false
	}
	w.Kind, w.timed = "time", true
	// The kernel has written down what is left when the stop interrupted it.
	if rest := d.call.Args[i+1]; rest != 0 {
		if t, ok := d.timespec(rest); ok {
			w.Text = d.name + ", " + t.Round(time.Millisecond).String() + " left"
			return w, true
		}
	}
	if clock, absolute := d.clock(); absolute {
		w.Text = d.name + d.until(clock, t)
	} else {
		w.Text = d.name + " for " + t.String()
	}
	return w, true
}
