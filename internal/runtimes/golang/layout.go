package golang

import (
	"strconv"
	"strings"
)

// layout says where the runtime's structures have their fields, in bytes; -1 for one
// that a version does not have. The fields carry the names of runtime/runtime2.go,
// chan.go, netpoll.go and time.go. gen.go reads them from the DWARF of each version.
type layout struct {
	minor int // of Go 1.N
	word  int // bytes in an address

	wrapperID uint8 // abi.FuncIDWrapper, the mark of functions that the compiler makes

	gM, gSchedSP, gSchedPC, gSchedG, gSchedBP       int
	gSyscallSP, gSyscallPC, gSyscallBP              int
	gStatus, gID, gWaitSince, gWaitReason, gLockedM int
	gCreator, gGoPC, gStartPC, gWaiting             int
	gLabels, gTimer, gSleepWhen, gBubble            int
	mG0, mProcID, mCurG                             int
	sudogG, sudogElem, sudogLink, sudogChan         int
	chanCount, chanSize, chanClosed                 int
	pollFD, pollReader, pollWriter                  int
	timerWhen, bubbleID                             int
}

// The stack of a g is its first field.
const (
	gStackLo = 0 // in words
	gStackHi = 1
)

// gSize is how much of a g is read: all fields that bt knows.
func (l *layout) gSize() int {
	end := 0
	for _, off := range []int{l.gM, l.gSchedBP, l.gSyscallPC, l.gStatus, l.gID, l.gWaitSince, l.gWaitReason, l.gLockedM,
		l.gCreator, l.gGoPC, l.gStartPC, l.gWaiting, l.gLabels, l.gTimer, l.gSleepWhen, l.gBubble} {
		end = max(end, off+8)
	}
	return end
}

// The status of a g (runtime/runtime2.go); statusScan is added while the collector
// looks at its stack.
const (
	statusIdle      = 0
	statusRunnable  = 1
	statusSyscall   = 3
	statusWaiting   = 4
	statusDead      = 6
	statusLeaked    = 10
	statusDeadExtra = 11
	statusScan      = 0x1000
)

// statuses are what the runtime prints for them (gStatusStrings).
var statuses = [...]string{
	0: "idle", 1: "runnable", 2: "running", 3: "syscall", 4: "waiting", 6: "dead", 8: "copystack", 9: "preempted", 10: "leaked", 11: "waiting for cgo callback",
}

// reason is a waitReason, the runtime's word for what a goroutine waits for.
type reason struct {
	text string
	idle bool // the same in a bubble of testing/synctest counts as durable
}

// Go 1.N of the first and of the last layout.
var (
	oldest = layouts[0].minor
	newest = layouts[len(layouts)-1].minor
)

// layoutFor returns the layout for Go 1.minor, or the nearest one that is known.
func layoutFor(minor, word int) *layout {
	minor = min(max(minor, oldest), newest)
	for i := range layouts {
		if l := &layouts[i]; l.minor == minor && l.word == word {
			return l
		}
	}
	return nil
}

// minorOf returns N of a version such as "go1.N.3" or "devel go1.N-0a1b2c", 0 where it
// tells none.
func minorOf(version string) int {
	_, rest, ok := strings.Cut(version, "go1.")
	if !ok {
		return 0
	}
	end := 0
	for end < len(rest) && end < 4 && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(rest[:end])
	return n
}
