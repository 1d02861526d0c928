package stack

// How tells by which means a frame was found.
type How string

// The means that there are, the most certain first.
const (
	ByRegisters    How = "registers"         // the thread's own registers: the innermost frame
	ByCFI          How = "cfi"               // call frame information
	ByGo           How = "go"                // Go's table of functions
	ByInjected     How = "go, injected call" // the same, where a signal handler put the call there
	BySignal       How = "signal"            // across a signal frame
	ByLeaf         How = "leaf"              // the return address on top of the stack, after a call to nowhere
	ByAnalysis     How = "analysis"          // by following the function's instructions
	ByFramePointer How = "frame pointer"     // by the chain of frame pointers
	ByRuntime      How = "runtime"           // by what a language runtime knows of code that it has made
)

// Miss tells why no symbol names an address. It is empty where one does.
type Miss string

// The reasons that there are.
const (
	Unmapped     Miss = "unmapped"      // nothing is mapped there
	Anonymous    Miss = "anonymous"     // mapped, but from no file
	NoImage      Miss = "no image"      // the file cannot be had, or is another one now
	NoSymbol     Miss = "no symbol"     // no symbol of the file covers it
	GateUnset    Miss = "gate unset"    // in the gate DSO, and nothing names that
	KernelHidden Miss = "kernel hidden" // in the kernel, which does not tell its symbols
)

// Text is the reason for people.
func (m Miss) Text() string {
	switch m {
	case "":
		return "named"
	case Unmapped:
		return "nothing is mapped there"
	case Anonymous:
		return "anonymous memory"
	case NoImage:
		return "its file cannot be read"
	case NoSymbol:
		return "no symbol covers it"
	case GateUnset:
		return "the gate DSO is not set, or cannot be read"
	case KernelHidden:
		return "the kernel hides its symbols (sysctl kernel.kptr_restrict)"
	}
	return string(m)
}

// End tells why a stack has no further frame.
type End struct {
	// Reason is Outermost, or why the stack is incomplete.
	Reason Reason `json:"reason"`
	// Addr is the address that the reason is about, 0 for none: a pc, a stack
	// pointer or a return address.
	Addr uint64 `json:"addr,omitempty"`
	// Text says the same for people, and which file, register or limit it is
	// about; empty for Outermost.
	Text string `json:"text,omitempty"`
}

// Reason is why a stack ends.
type Reason string

// The reasons that there are.
const (
	Outermost       Reason = "outermost"        // nothing is missing
	Coroutine       Reason = "coroutine"        // nothing is missing: the stack is that of a coroutine, with the return address Addr
	MaxFrames       Reason = "max frames"       // there are more frames than were asked for
	NoInfo          Reason = "no information"   // nothing tells how to unwind the last frame, whose pc is Addr
	BadInfo         Reason = "bad information"  // what tells how to unwind it cannot be used
	NoMemory        Reason = "no memory"        // the stack at Addr cannot be read
	MaxPause        Reason = "max pause"        // the process had to go on before the stack from Addr on was copied
	MaxCopy         Reason = "max copy"         // the stack from Addr on is more memory than is copied of a process
	NoAdvance       Reason = "no advance"       // the next frame would lie below this one, at Addr
	BadReturn       Reason = "bad return"       // the return address Addr is not code
	NotCalled       Reason = "not called"       // no call precedes the return address Addr
	OtherStack      Reason = "other stack"      // the function at Addr was called on another stack, to which nothing leads
	ZeroReturn      Reason = "zero return"      // the return address is zero where no stack begins
	Loop            Reason = "loop"             // the stack goes round in circles
	UnknownRegister Reason = "unknown register" // the next frame is found by a register that is not known
	NoRegisters     Reason = "no registers"     // those of the thread are not known at all
	UnknownCPU      Reason = "unknown cpu"      // bt does not unwind this CPU's code
)
