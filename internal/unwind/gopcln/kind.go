package gopcln

import "strings"

// Kind says how the caller of a frame is found. For all but Normal the
// reasons are in runtime/traceback.go, asm_*.s and sys_linux_*.s.
//
// "SP rule" means: the CFA is SP + SPDelta(pc) + the size of an address, the
// return address lies right below the CFA, and on amd64 the caller's BP right
// below that if SPDelta(pc) is at least 8. "BP rule" means the chain of frame
// pointers that amd64 has since Go 1.7: the CFA is BP + 16, the return address
// at BP + 8, the caller's BP at BP. 386 has no frame pointers.
type Kind uint8

const (
	// Normal: the SP rule, at every instruction.
	Normal Kind = iota

	// Top: the outermost frame. goexit is the bottom of every goroutine: the
	// go statement fabricates goexit+1 as return address. mstart is the
	// bottom of a thread's own stack (g0), rt0_go and _rt0_* that of the
	// first thread, which the kernel has entered with argc on the stack.
	Top

	// Clone: the thread starts in the middle of runtime.clone, on an empty
	// stack. Reached by a return address it is outermost. The parent, which
	// is inside the system call, follows the SP rule.
	Clone

	// Sigtramp: the handler that the kernel enters. It is flagged TopFrame,
	// but follows the SP rule; its return address is the start of the
	// restorer, so it is exact and must not be looked up one byte earlier.
	Sigtramp

	// Sigreturn: Go's own restorer, a signal trampoline. SP points at the
	// kernel's signal frame there (struct ucontext on amd64).
	Sigreturn

	// Injected: the SP rule; but the signal handler has pushed the pc of the
	// interrupted instruction as if that had called. That pc is exact.
	Injected

	// Switch: calls a function on another stack, so that its callee's frame
	// is on that stack and its own frame is not. BP still points at its own
	// frame: the BP rule. Only while it is innermost and has SPDelta 0 (the
	// function's start and end) the SP rule holds. Until Go 1.20 systemstack
	// and asmcgocall had no frame (SPDelta is 0 everywhere): BP is their
	// caller's there, and the BP rule skips that caller. On 386 the caller
	// cannot be found.
	Switch

	// VDSO: a Switch for the sake of a vDSO call, with two locals. On amd64
	// the BP rule holds since Go 1.17. On 386, and on amd64 before, it keeps
	// the SP of its own stack in EBP (RBP), which C code preserves: the CFA
	// is EBP + SPDelta(pc) + the size of an address; before the instruction
	// that saves SP, where SPDelta(pc) is the same already, the SP rule holds.
	VDSO

	// Leave: goes on to the scheduler's stack for good. What it calls there
	// never returns, and its caller will be resumed from the goroutine's saved
	// state, perhaps by another thread. Reached by a return address it is
	// outermost; innermost, it follows the SP rule until it has switched.
	Leave

	// Cgo: a Switch that calls C, which may call Go back, which may move the
	// goroutine's stack. What it has saved on the other stack leads back: the
	// goroutine, and how far below the top of the stack it was.
	Cgo

	// More: a Leave that the goroutine asked for, to get a larger stack; it
	// goes on where it was when it has got it.
	More

	// Callback: entered from C on the system stack, it lays a copy of its
	// frame out on the goroutine's stack, so that the SP rule holds on both;
	// but the copy's return address is where the goroutine called C, or its
	// start. Its caller is on the system stack.
	Callback

	// Entry: called by C. It saves the registers that C preserves in a way
	// that only its instructions tell.
	Entry
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	return [...]string{"normal", "top", "clone", "sigtramp", "sigreturn", "injected", "switch", "vdso", "leave", "cgo", "more", "callback", "entry"}[k]
}

// Kind classifies the function. It goes by names, for the numbers of
// abi.FuncID change from one Go to the next, and few functions have one.
func (f Func) Kind() Kind {
	name := f.NameBytes()
	const runtime = "runtime."
	if len(name) > len(runtime) && string(name[:len(runtime)]) == runtime {
		switch string(name[len(runtime):]) {
		case "goexit", "mstart", "rt0_go":
			return Top
		case "clone":
			return Clone
		case "sigtramp", "sigprofNonGoWrapper":
			return Sigtramp
		case "sigreturn__sigaction", "sigreturn": // the latter until Go 1.20
			return Sigreturn
		case "sigpanic", "asyncPreempt", "debugCallV1", "debugCallV2":
			return Injected
		case "nanotime1", "walltime1":
			return VDSO
		case "walltime": // since Go 1.17 assembly, before plain Go around walltime1
			if f.Flags()&SPWrite != 0 {
				return VDSO
			}
			return Normal
		case "asmcgocall":
			return Cgo
		case "systemstack", "asmcgocall_no_g",
			"sigfwd", "callCgoMmap", "callCgoMunmap", "callCgoSigaction": // flagged since Go 1.17
			return Switch
		case "mcall", "gogo", "switchToCrashStack0":
			return Leave
		case "morestack":
			return More
		case "cgocallback", "cgocallback_gofunc":
			return Callback
		}
	}
	switch {
	case string(name) == "crosscall2", len(name) > 5 && string(name[:5]) == "_rt0_" && strings.HasSuffix(string(name), "_lib"):
		return Entry
	case string(name) == "gogo": // the file-local part of runtime.gogo
		return Leave
	case len(name) > 5 && string(name[:5]) == "_rt0_":
		return Top
	case f.Flags()&TopFrame != 0:
		return Top
	case f.Flags()&SPWrite != 0:
		return Switch
	}
	return Normal
}
