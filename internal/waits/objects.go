//go:build linux

package waits

import (
	"strconv"

	"github.com/gatedso/bt/stack"
)

// around is how many bytes before and behind a futex word are copied: more than any
// object of a C library has.
const around = 64

// The operations of futex(2), include/uapi/linux/futex.h.
const (
	futexWait       = 0
	futexLockPI     = 6
	futexWaitBitset = 9
	futexLockPI2    = 13
	futexPrivate    = 128
	futexRealtime   = 256
	futexCommand    = futexPrivate | futexRealtime

	// A word that holds its owner: his TID, and two flags.
	futexTIDMask = 0x3fffffff
)

// futex tells what the thread waits for in futex(2), where that is certain.
func (d *decoder) futex() (wait, bool) {
	op := uint32(d.call.Args[1]) &^ futexCommand
	switch op {
	case futexWait, futexWaitBitset, futexLockPI, futexLockPI2:
	default:
		return wait{}, false
	}
	in := d.reader.names.inner(d.t)
	o := &found{decoder: d, within: in, word: d.call.Args[0], value: uint32(d.call.Args[2]), op: op}
	if d.t.Arch.PtrSize == 4 {
		o.word &= 1<<32 - 1
	}
	if !o.look() {
		return wait{}, false
	}
	o.wait.Call = d.name
	o.wait.timed = d.call.Args[3] != 0 // for all these operations it is the timeout
	o.wait.Text = d.name + " for " + o.text + d.left()
	return o.wait, true
}

// found is an object in memory that a thread waits for.
type found struct {
	*decoder
	within
	word  uint64 // the address of the futex word
	value uint32 // that it is compared with
	op    uint32
	wait  wait
	text  string // what it is, for people
}

// look tells what object it is. It reports false where that is not certain.
func (o *found) look() bool {
	switch o.object {
	case mutex:
		return o.mutex()
	case condition:
		// A waiter that was woken takes the mutex, in an internal function that
		// may have no name: the operation and the value are those of that lock.
		if o.library == glibc && (o.op == futexWait && o.value == 2 || o.op == futexLockPI || o.op == futexLockPI2) {
			return o.mutex()
		}
		return o.condition()
	case rwlockRead, rwlockWrite:
		return o.rwlock()
	case semaphore:
		return o.is("semaphore", "semaphore", o.word)
	case barrier:
		return o.barrier()
	case join:
		return o.join()
	case once:
		return o.is("once", "the initialization by pthread_once of", o.word)
	case unownedMutex:
		return o.is("mutex", "mutex (owner not recorded)", 0)
	case unownedRWLock:
		return o.is("rwlock", "rwlock (owner not recorded)", 0)
	case unownedCondition:
		return o.is("condition variable", "condition variable", 0)
	}
	return false
}

// is sets what the object is. at is its address, 0 where that is not known.
func (o *found) is(kind, text string, at uint64) bool {
	o.wait.Kind, o.wait.Address, o.text = kind, at, text
	if at != 0 {
		o.text += " " + hexa(at)
	}
	return true
}

// int32At reads an int of the object.
func (o *found) int32At(addr uint64) (uint32, bool) {
	v, ok := o.m.Word(addr, 4)
	return uint32(v), ok
}

// Kinds of glibc's mutexes: sysdeps/nptl/bits/struct_mutex.h and nptl/pthreadP.h. The
// bits above are for lock elision.
const (
	mutexKinds   = 0x3ff
	mutexRobust  = 16
	mutexInherit = 32
	mutexShared  = 128
)

// mutex is pthread_mutex_t.
func (o *found) mutex() bool {
	if o.library == musl {
		return o.muslMutex()
	}
	// struct __pthread_mutex_s: int lock, unsigned count, int owner; then 64-bit
	// CPUs have unsigned nusers, int kind, the others int kind, unsigned nusers.
	at, kindAt := o.word, o.word+16
	if o.t.Arch.PtrSize == 4 {
		kindAt = at + 12
	}
	lock, ok := o.int32At(at)
	owner, ok2 := o.int32At(at + 8)
	kind, ok3 := o.int32At(kindAt)
	if !ok || !ok2 || !ok3 || kind&^mutexKinds != 0 {
		return false
	}
	o.is("mutex", "mutex", at)
	if kind&(mutexRobust|mutexInherit) != 0 {
		owner = lock & futexTIDMask
	}
	if lock != 0 {
		o.heldBy(int(int32(owner)), kind&mutexShared != 0)
	}
	return true
}

// muslMutex is musl's pthread_mutex_t: int type, int lock, of which the low bits are
// the owner unless the type is that of a normal mutex (src/thread/pthread_mutex_*.c).
func (o *found) muslMutex() bool {
	const normal, maxType = 15, 0xff
	at := o.word - 4
	kind, ok := o.int32At(at)
	lock, ok2 := o.int32At(o.word)
	if !ok || !ok2 || kind > maxType {
		return false
	}
	o.is("mutex", "mutex", at)
	switch {
	case kind&normal == 0:
		o.text += " (owner not recorded)"
	case lock != 0:
		o.heldBy(int(lock&futexTIDMask), kind&mutexShared != 0)
	}
	return true
}

// heldBy adds the owner that a lock records. shared says that it can be a thread of
// another process.
func (o *found) heldBy(tid int, shared bool) {
	p, ok := o.reader.owner(tid, shared)
	switch {
	case tid <= 0:
		return
	case ok:
		o.wait.Holders, o.wait.all = []stack.Party{p}, true
		o.text += " held by " + party(&p)
		if p.TID == o.t.TID {
			o.text += ", this thread itself"
		}
	case !shared:
		o.text += " whose owner, " + strconv.Itoa(tid) + ", is no thread of the process"
	}
}

// condition is glibc's pthread_cond_t: from 2.25 on the words that are waited for are at
// 40 and 44, since 2.41 at 32 and 36 (sysdeps/nptl/bits/thread-shared-types.h). musl's
// waiters wait for a word on their own stack.
func (o *found) condition() bool {
	v := o.version
	if o.library != glibc || v < 225 {
		return o.is("condition variable", "condition variable", 0)
	}
	at := o.word - 40
	if v >= 241 {
		at = o.word - 32
	}
	if at%8 == 4 { // it is aligned to the 8 bytes of its first member
		at -= 4
	}
	return o.is("condition variable", "condition variable", at)
}

// rwlock is glibc's pthread_rwlock_t: readers, writers, wrphase_futex, writers_futex,
// two words of padding, cur_writer (sysdeps/nptl/bits/struct_rwlock.h); on 32-bit CPUs
// a word with flags comes before cur_writer. What a thread waits for tells which of the
// words it is (nptl/pthread_rwlock_common.c).
func (o *found) rwlock() bool {
	if o.library != glibc {
		o.is("rwlock", "rwlock", o.word)
		o.text += " (owner not recorded)"
		return true
	}
	if v := o.version; v != 0 && v < 226 { // another one
		return o.is("rwlock", "rwlock", 0)
	}
	at := o.word - 8 // wrphase_futex
	switch {
	case o.object == rwlockWrite && o.value == 3:
		at = o.word - 12 // writers_futex
	case o.value > 3:
		at = o.word // readers, with a flag of those that wait
	}
	writerAt, sharedAt, sharedSize := at+24, at+28, 4
	if o.t.Arch.PtrSize == 4 {
		writerAt, sharedAt, sharedSize = at+28, at+25, 1
	}
	readers, ok := o.int32At(at)
	writer, ok2 := o.int32At(writerAt)
	shared, ok3 := o.m.Word(sharedAt, sharedSize)
	if !ok || !ok2 || !ok3 {
		return false
	}
	if o.version == 0 && writer == 0 && readers>>3 == 0 {
		return false // nothing shows that it is one
	}
	o.is("rwlock", "rwlock", at)
	const writePhase, wrlocked = 1, 2
	switch n := readers >> 3; {
	case readers&(writePhase|wrlocked) == writePhase|wrlocked:
		if p, ok := o.reader.owner(int(int32(writer)), shared != 0); ok {
			o.wait.Holders, o.wait.all = []stack.Party{p}, true
			o.text += " held for writing by " + party(&p)
		}
	case readers&writePhase == 0 && n == 1:
		o.text += " held by 1 reader"
	case readers&writePhase == 0 && n > 1:
		o.text += " held by " + strconv.Itoa(int(n)) + " readers"
	}
	return true
}

// barrier is glibc's pthread_barrier_t: unsigned in, current_round, count, int shared,
// unsigned out (sysdeps/nptl/internaltypes.h). It is waited for in current_round.
func (o *found) barrier() bool {
	if v := o.version; o.library != glibc || v != 0 && v < 225 {
		return o.is("barrier", "barrier", 0)
	}
	at := o.word - 4
	in, ok := o.int32At(at)
	round, ok2 := o.int32At(at + 4)
	count, ok3 := o.int32At(at + 8)
	if !ok || !ok2 || !ok3 {
		return false
	}
	n := in - round
	if n < 1 || n > count {
		return o.is("barrier", "barrier", 0)
	}
	o.is("barrier", "barrier", at)
	o.text += ", where " + strconv.Itoa(int(n)) + " of " + strconv.Itoa(int(count)) + " threads wait"
	return true
}

// join waits for the word of the other thread's descriptor that holds its TID; in musl for
// detach_state, two words behind the TID (src/internal/pthread_impl.h).
func (o *found) join() bool {
	at := o.word
	if o.library == musl {
		at -= 8
	}
	tid, ok := o.int32At(at)
	if !ok {
		return false
	}
	p, lives := o.reader.owner(int(int32(tid)), false)
	if o.library == glibc && (!lives || tid != o.value) {
		p, lives = o.joinState()
	}
	o.is("join", "the end of a thread", 0)
	if lives {
		o.wait.Holders, o.wait.all = []stack.Party{p}, true
		o.text = "the end of " + party(&p)
	}
	return true
}

// The descriptor of a thread in glibc for 64-bit x86, struct pthread (nptl/descr.h): it
// begins with its own address, and tid is behind the 704 bytes of the header and a list.
const (
	descriptorTID  = 720
	beforeJoinWord = 0x680 // more than what is in front of the word
)

// joinState is the thread of a descriptor in whose middle the word lies: since 2.43 that
// is a state of its own.
func (o *found) joinState() (p stack.Party, ok bool) {
	if o.t.Arch.PtrSize != 8 {
		return p, false
	}
	for at := o.word &^ 15; at > o.word-beforeJoinWord; at -= 16 {
		if v, ok := o.m.Word(at, 8); !ok || v != at {
			continue
		}
		if tid, ok := o.int32At(at + descriptorTID); ok {
			return o.reader.owner(int(int32(tid)), false)
		}
	}
	return p, false
}
