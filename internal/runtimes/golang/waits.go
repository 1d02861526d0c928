//go:build linux

package golang

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/stack"
)

// waitsOf tells what goroutines wait for.
type waitsOf struct {
	*program
	memory  *process.Recorder
	now     int64
	waiters map[uint64]int // of locks
}

// of tells what a goroutine waits for, nil where that is not certain.
func (w *waitsOf) of(g *goroutine, s *walk) *stack.Wait {
	switch reason := strings.TrimSuffix(w.reason(g), " (durable)"); reason {
	case "chan receive", "chan send", "select":
		return w.channels(g, reason == "select")
	case "chan receive (nil chan)", "chan send (nil chan)":
		return &stack.Wait{Kind: "channel", Text: "a nil channel, for ever"}
	case "select (no cases)":
		return &stack.Wait{Kind: "select", Text: "nothing, for ever"}
	case "sleep":
		return w.timer(g)
	case "IO wait":
		return w.file(g)
	case "semacquire", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait":
		return w.lock(g, s)
	}
	return nil
}

// word reads a field of a structure at addr.
func (w *waitsOf) word(addr uint64, off int) (uint64, bool) {
	if off < 0 {
		return 0, false
	}
	return w.memory.Word(w.mask(addr+uint64(off)), w.lay.word)
}

// maxChannels is how many channels of a select are listed.
const maxChannels = 4

// channels tells of the channels of a goroutine's sudogs.
func (w *waitsOf) channels(g *goroutine, isSelect bool) *stack.Wait {
	l := w.lay
	var list []uint64
	n := 0
	for s := g.g.word(l.gWaiting); s != 0 && n < maxRounds; n++ {
		owner, ok1 := w.word(s, l.sudogG)
		c, ok2 := w.word(s, l.sudogChan)
		link, ok3 := w.word(s, l.sudogLink)
		if !ok1 || !ok2 || !ok3 || owner != g.addr || c == 0 {
			return nil
		}
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
		s = link
	}
	if len(list) == 0 || !isSelect && len(list) != 1 {
		return nil
	}
	out := &stack.Wait{Kind: "channel", Address: list[0]}
	var texts []string
	for _, c := range list[:min(len(list), maxChannels)] {
		text, ok := w.channel(c)
		if !ok {
			return nil
		}
		texts = append(texts, text)
	}
	out.Text = "channel " + texts[0]
	if isSelect {
		out.Kind = "select"
		if len(list) > 1 {
			out.Address = 0
			out.Text = "channels " + strings.Join(texts, ", ")
		}
		if more := len(list) - len(texts); more > 0 {
			out.Text += fmt.Sprintf(" and %d more", more)
		}
	}
	return out
}

// channel tells of one channel.
func (w *waitsOf) channel(c uint64) (string, bool) {
	count, ok1 := w.word(c, w.lay.chanCount)
	size, ok2 := w.word(c, w.lay.chanSize)
	if !ok1 || !ok2 || count > size {
		return "", false
	}
	return fmt.Sprintf("0x%x (len %d, cap %d)", c, count, size), true
}

// timer tells how long a goroutine still sleeps.
func (w *waitsOf) timer(g *goroutine) *stack.Wait {
	when := g.g.wide(w.lay.gSleepWhen)
	if w.lay.gSleepWhen < 0 {
		var ok bool
		if when, ok = w.memory.Word(w.mask(g.g.word(w.lay.gTimer)+uint64(w.lay.timerWhen)), 8); !ok {
			return nil
		}
	}
	left := time.Duration(when - uint64(w.now))
	if when == 0 || w.now == 0 || left < 0 {
		return nil
	}
	return &stack.Wait{Kind: "time", Text: "a timer, " + left.Round(100*time.Millisecond).String() + " from now"}
}

// maxFD bounds file descriptors: sysctl fs.nr_open can be no more than this.
const maxFD = 1 << 30

// file tells of the descriptor that a goroutine waits for in the poller.
func (w *waitsOf) file(g *goroutine) *stack.Wait {
	for _, half := range []struct {
		off int
		to  string
	}{{w.lay.pollReader, "read"}, {w.lay.pollWriter, "write"}} {
		if g.object == 0 || g.object < uint64(half.off) {
			continue
		}
		// The other half holds no goroutine, or another one.
		desc := g.object - uint64(half.off)
		fd, ok := w.word(desc, w.lay.pollFD)
		owner, _ := w.word(desc, half.off)
		if !ok || owner != g.addr || !w.isPollDesc(desc) || fd >= maxFD {
			continue
		}
		n := int(fd)
		return &stack.Wait{Kind: "file", FD: &n, Text: "fd " + strconv.Itoa(n) + ", to " + half.to}
	}
	return nil
}

// isPollDesc reports whether both halves of a pollDesc at addr are such: nothing, a
// number that the poller uses, or the address of a g.
func (w *waitsOf) isPollDesc(addr uint64) bool {
	for _, off := range []int{w.lay.pollReader, w.lay.pollWriter} {
		v, ok := w.word(addr, off)
		if !ok || v > 2 && v%uint64(w.lay.word) != 0 || v > 2 && v < pageSize {
			return false
		}
	}
	return true
}

// locks are the types of package sync whose semaphores goroutines wait for: by the
// reason, or, where that says less, by the function that waits; and where in the type
// the semaphore is, since Go 1.18.
var locks = []struct {
	reason, function string
	kind             string
	offset           uint64
}{
	{"sync.Mutex.Lock", "sync.(*Mutex).lockSlow", "sync.Mutex", 4},
	{"sync.Mutex.Lock", "internal/sync.(*Mutex).lockSlow", "sync.Mutex", 4},
	{"sync.RWMutex.RLock", "sync.(*RWMutex).RLock", "sync.RWMutex", 12},
	{"sync.RWMutex.Lock", "sync.(*RWMutex).Lock", "sync.RWMutex", 8},
	{"sync.WaitGroup.Wait", "sync.(*WaitGroup).Wait", "sync.WaitGroup", 8},
}

// lock tells of the lock whose semaphore a goroutine waits for.
func (w *waitsOf) lock(g *goroutine, s *walk) *stack.Wait {
	if g.object == 0 {
		return nil
	}
	owner, _ := w.word(g.object, w.lay.sudogG)
	c, ok1 := w.word(g.object, w.lay.sudogChan)
	sema, ok2 := w.word(g.object, w.lay.sudogElem)
	if !ok1 || !ok2 || owner != g.addr || c != 0 || sema == 0 {
		return nil
	}
	reason := w.reason(g)
	for _, k := range locks {
		if !slices.Contains(s.names, k.function) || reason != k.reason && reason != "semacquire" && reason != k.reason+" (durable)" {
			continue
		}
		if k.kind == "sync.WaitGroup" && w.lay.word == 4 && w.lay.minor < 20 {
			break // where it is depended on the alignment
		}
		addr := sema - k.offset
		w.waiters[addr]++
		return &stack.Wait{Kind: kindOf[k.kind], Object: k.kind, Address: addr, Text: fmt.Sprintf("%s 0x%x", k.kind, addr)}
	}
	return &stack.Wait{Kind: "semaphore", Address: sema, Text: fmt.Sprintf("semaphore 0x%x", sema)}
}

// kindOf are the words of the model.
var kindOf = map[string]string{"sync.Mutex": "mutex", "sync.RWMutex": "rwlock", "sync.WaitGroup": "wait group"}

// count adds to what waits for a lock how many do.
func (w *waitsOf) count(tasks []stack.Task) {
	for i := range tasks {
		if wait := tasks[i].Waits; wait != nil && wait.Object != "" && w.waiters[wait.Address] > 1 {
			wait.Text += fmt.Sprintf(", for which %d goroutines wait", w.waiters[wait.Address])
		}
	}
}
