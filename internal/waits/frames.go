//go:build linux

package waits

import (
	"bytes"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/maps"
)

// object is what a function of a library waits for.
type object uint8

const (
	noObject object = iota
	mutex
	condition
	rwlockRead
	rwlockWrite
	semaphore
	barrier
	join
	once
	// Without an owner, and of no known layout.
	unownedMutex
	unownedRWLock
	unownedCondition
)

// library is whose layout an object has.
type library uint8

const (
	otherLibrary library = iota
	glibc
	musl
)

// waitsFor are the functions of C libraries that wait, without the underscores in
// front of their internal names.
var waitsFor = sync.OnceValue(func() map[string]object {
	return map[string]object{
		"pthread_mutex_lock":             mutex,
		"pthread_mutex_lock_full":        mutex,
		"pthread_mutex_timedlock":        mutex,
		"pthread_mutex_clocklock":        mutex,
		"pthread_mutex_clocklock_common": mutex,
		"pthread_mutex_cond_lock":        mutex,
		"pthread_mutex_cond_lock_full":   mutex,
		"mtx_lock":                       mutex,
		"mtx_timedlock":                  mutex,
		"pthread_cond_wait":              condition,
		"pthread_cond_timedwait":         condition,
		"pthread_cond_clockwait":         condition,
		"pthread_cond_wait_common":       condition,
		"cnd_wait":                       condition,
		"cnd_timedwait":                  condition,
		"pthread_rwlock_rdlock":          rwlockRead,
		"pthread_rwlock_timedrdlock":     rwlockRead,
		"pthread_rwlock_clockrdlock":     rwlockRead,
		"pthread_rwlock_rdlock_full":     rwlockRead,
		"pthread_rwlock_wrlock":          rwlockWrite,
		"pthread_rwlock_timedwrlock":     rwlockWrite,
		"pthread_rwlock_clockwrlock":     rwlockWrite,
		"pthread_rwlock_wrlock_full":     rwlockWrite,
		"sem_wait":                       semaphore,
		"sem_timedwait":                  semaphore,
		"sem_clockwait":                  semaphore,
		"new_sem_wait":                   semaphore,
		"new_sem_wait_slow":              semaphore,
		"pthread_barrier_wait":           barrier,
		"pthread_join":                   join,
		"pthread_timedjoin_np":           join,
		"pthread_clockjoin_np":           join,
		"pthread_timedjoin_ex":           join,
		"pthread_clockjoin_ex":           join,
		"thrd_join":                      join,
		"pthread_once":                   once,
		"pthread_once_slow":              once,
		"pthread_once_full":              once,
		"call_once":                      once,
	}
})

// sleeps are functions that a system call can be told by that was restarted.
var sleeps = map[string]string{
	"clock_nanosleep": "clock_nanosleep",
	"nanosleep":       "nanosleep",
	"poll":            "poll",
	"lll_lock_wait":   "futex",
	"futex":           "futex",
}

// within is what the innermost frames of a thread say.
type within struct {
	object  object
	library library
	version int    // of glibc: 236 for 2.36; 0 where that is not known
	sleep   string // the system call that they make, where their name says it
}

// maxInner is how many frames lie between a system call and the function that the
// program has called.
const maxInner = 8

// functions names code addresses, without debug files.
type functions struct {
	space  *image.Space
	memory *process.Recorder // what does not change
	known  map[uint64]function

	releases map[*image.Module]int
	linked   *library // that the program is linked with
}

type function struct {
	name    string // as it is in the symbol table, without underscores in front
	library library
	module  *image.Module
	image   *image.Image
}

// at names the function that an address, or the call before it, lies in.
func (f *functions) at(pc uint64, exact bool) function {
	if !exact {
		pc--
	}
	if fn, ok := f.known[pc]; ok {
		return fn
	}
	var fn function
	if p := f.space.Locate(pc); p.Image != nil && p.Module != nil {
		fn.library, fn.module, fn.image = libraryOf(p.Module.Path), p.Module, p.Image
		if s, ok := p.Image.Lookup(p.Link(pc)); ok {
			fn.name = plainName(s.Name)
		}
		if fn.library == otherLibrary && p.Module.Index() == 0 {
			fn.library = f.static(p.Image)
		}
	}
	if f.known == nil {
		f.known = make(map[uint64]function)
	}
	f.known[pc] = fn
	return fn
}

// plainName is a C library's symbol without its version, what a compiler adds to the
// name of a copy, the underscores of internal names, and the 64 of the width of times.
func plainName(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") {
		return name
	}
	name, _, _ = strings.Cut(name, ".")
	return strings.TrimSuffix(strings.TrimLeft(name, "_"), "64")
}

// called names the function that the call in front of a return address leads to, by way
// of a PLT stub or of a slot that the dynamic linker has filled.
func (f *functions) called(a *arch.Arch, ret uint64) function {
	// The instructions before the call may be where it has its target from.
	code := make([]byte, 64)
	for len(code) >= 8 && f.space.Text(ret-uint64(len(code)), code) < len(code) {
		code = code[len(code)/2:]
	}
	if a.CallTarget == nil || len(code) < 8 {
		return function{}
	}
	addr, slot, ok := a.CallTarget(code, ret)
	if slot {
		addr, ok = f.memory.Word(addr, a.PtrSize)
	}
	if !ok {
		return function{}
	}
	if p := f.space.Locate(addr); p.Image != nil {
		if name, _, _, ok := p.Image.PLT(p.Link(addr)); ok {
			return function{name: plainName(name)}
		}
	}
	return f.at(addr, true)
}

// static tells the C library that a program is linked with, if it is: by functions that
// each has in every such program.
func (f *functions) static(im *image.Image) (lib library) {
	if f.linked == nil {
		// A file that is truncated meanwhile tells nothing.
		_ = guard.Read(func() error {
			if _, ok := im.Variable("__libc_setup_tls", true); ok {
				lib = glibc
			} else if _, ok := im.Variable("__init_libc", true); ok {
				lib = musl
			}
			return nil
		})
		f.linked = &lib
	}
	return *f.linked
}

// libraryOf tells a C library by the name of its file.
func libraryOf(file string) library {
	base := path.Base(file)
	switch {
	case base == "libc.so", strings.HasPrefix(base, "ld-musl-"), strings.HasPrefix(base, "libc.musl-"):
		return musl
	case strings.HasPrefix(base, "libc.so."), strings.HasPrefix(base, "libc-2."),
		strings.HasPrefix(base, "libpthread.so."), strings.HasPrefix(base, "libpthread-2."):
		return glibc
	}
	return otherLibrary
}

// inner looks at the innermost frames of a thread: those of a C library, up to the
// one that waits, or the ones of a language's own locks.
func (f *functions) inner(t *process.Unwound) (in within) {
	var last function // of the library
	defer func() {
		if in.object != noObject && in.library == glibc {
			in.version = f.release(last)
		}
	}()
	for i := range t.Stack.Frames {
		if i == maxInner {
			break
		}
		fr := &t.Stack.Frames[i]
		if fr.Signal {
			break
		}
		fn := f.at(fr.PC, fr.Exact)
		if in.sleep == "" {
			in.sleep = sleeps[fn.name]
		}
		if o := rustLock(fn.name); o != noObject {
			in.object = o
			break
		}
		if fn.library == otherLibrary {
			if isSyscall(fn.name) || f.isGate(fr.PC) {
				continue
			}
			// The library's internal functions may have no names, and it jumps
			// to them: the call tells which one it was.
			if in.library != otherLibrary && !fr.Exact {
				in.object = waitsFor()[f.called(t.Arch, fr.PC).name]
			}
			break
		}
		last = fn
		in.library = fn.library
		if o, ok := waitsFor()[fn.name]; ok {
			in.object = o
			break
		}
	}
	return in
}

// isGate reports whether pc is in the vDSO, by which 32-bit programs enter the kernel.
func (f *functions) isGate(pc uint64) bool {
	p := f.space.Locate(pc)
	return p.Module != nil && p.Module.Gate != maps.NoGate
}

// isSyscall reports whether a function of no C library only makes system calls.
func isSyscall(name string) bool { return name == "syscall" || name == "kernel_vsyscall" }

// rustLock tells the locks of Rust's standard library and of parking_lot, which are
// words of their own, by the mangled names of the functions that wait for them.
func rustLock(name string) object {
	if !strings.Contains(name, "futex") && !strings.Contains(name, "parking_lot") {
		return noObject
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if !strings.Contains(name, p) {
				return false
			}
		}
		return true
	}
	switch {
	case has("mutex", "futex", "lock_contended"), has("parking_lot", "raw_mutex", "lock_slow"):
		return unownedMutex
	case has("rwlock", "futex", "_contended"), has("parking_lot", "raw_rwlock", "_slow"):
		return unownedRWLock
	case has("condvar", "futex", "wait"), has("parking_lot", "condvar", "wait_until_internal"):
		return unownedCondition
	}
	return noObject
}

// release returns the version of the GNU C library that a function is of, 236 for 2.36;
// 0 where that is not known. The name of the file says it, libpthread-2.31.so, or the
// text that it prints when it is executed.
func (f *functions) release(fn function) (version int) {
	if fn.module == nil || fn.image == nil {
		return 0
	}
	if v, ok := f.releases[fn.module]; ok {
		return v
	}
	base := path.Base(fn.module.Path)
	_, number, ok := strings.Cut(base, "-2.")
	if number, so, _ := strings.Cut(number, "."); ok && so == "so" {
		if n, err := strconv.ParseUint(number, 10, 7); err == nil {
			version = 200 + int(n)
		}
	} else {
		// A file that is truncated meanwhile tells nothing.
		_ = guard.Read(func() error {
			if s, ok := fn.image.Section(".rodata"); ok {
				version = releaseIn(s.Data)
			}
			return nil
		})
	}
	if f.releases == nil {
		f.releases = make(map[*image.Module]int)
	}
	f.releases[fn.module] = version
	return version
}

func releaseIn(text []byte) int {
	i := bytes.Index(text, []byte("GNU C Library ("))
	if i < 0 {
		return 0
	}
	_, number, ok := bytes.Cut(text[i:min(i+200, len(text))], []byte(" version 2."))
	if !ok || len(number) < 2 {
		return 0
	}
	n, err := strconv.Atoi(string(number[:2]))
	if err != nil {
		return 0
	}
	return 200 + n
}
