package cpython

import (
	"fmt"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/stack"
)

// about is what the interpreter knows of a thread.
func (r *reader) about(t *pyThread, u *process.Unwound) stack.RuntimeThread {
	a := stack.RuntimeThread{Language: Language, Name: t.name}
	if t.interp.id != 0 {
		a.Facts = append(a.Facts, fmt.Sprintf("interpreter %d", t.interp.id))
	}
	switch {
	case t.interp.gil == 0:
	case t.interp.holder == t.state:
		a.Facts = append(a.Facts, "holds the GIL")
	case r.wantsGIL(t, u):
		a.Facts = append(a.Facts, "waits for the GIL")
	}
	return a
}

// The operations of futex that wait, include/uapi/linux/futex.h, and the flags beside
// them.
const (
	futexWait       = 0
	futexWaitBitset = 9
	futexFlags      = 128 | 256 // FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
	condSize        = 48        // sizeof(pthread_cond_t)
)

// wantsGIL reports whether the thread sleeps on the GIL's condition variable: the
// arguments of futex are still in its registers.
func (r *reader) wantsGIL(t *pyThread, u *process.Unwound) bool {
	if t.interp.gil == 0 || t.interp.holder == t.state || u.Arch == nil || !u.HasRegs || len(u.Arch.Syscalls.Args) < 2 {
		return false
	}
	addr, ok1 := u.Regs.Get(u.Arch.Syscalls.Args[0])
	op, ok2 := u.Regs.Get(u.Arch.Syscalls.Args[1])
	if !ok1 || !ok2 {
		return false
	}
	op &^= futexFlags
	return addr-(t.interp.gil+r.l.gilCond) < condSize && (op == futexWait || op == futexWaitBitset)
}

// waits tells that a thread waits for the GIL, and who holds it.
func (r *reader) waits(th *stack.Thread, t *pyThread, u *process.Unwound) {
	if !r.wants.Waits || !r.wantsGIL(t, u) {
		return
	}
	w := &stack.Wait{Call: "futex", Kind: "GIL", Address: t.interp.gil, Text: "futex for the GIL"}
	if tid := r.tids[t.interp.holder]; tid != 0 && tid != th.TID {
		w.Holders = []stack.Party{{TID: tid}}
		w.Text += fmt.Sprintf(" held by thread %d", tid)
	}
	th.Waits = w
}
