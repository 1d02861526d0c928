package arch

import "debug/elf"

// MaxRegs bounds the DWARF registers that a frame can carry. It covers the
// integer registers, the stack pointer and the return address of every CPU
// that bt unwinds; vector and floating-point registers have higher numbers
// and are never needed to find a caller.
const MaxRegs = 34

// NoReg stands where a CPU has no such register.
const NoReg Reg = MaxRegs

// Reg is a DWARF register number, as the psABI of the CPU assigns it. The
// return address column of a frame row is one, too.
type Reg uint8

// Regs is a set of register values, passed by value so that unwinding a frame
// allocates nothing. A register without a value is unknown.
type Regs struct {
	val   [MaxRegs]uint64
	valid uint64 // bit i: val[i] is known
}

// Get returns the value of register r and whether it is known.
func (s *Regs) Get(r Reg) (uint64, bool) {
	if r >= MaxRegs || s.valid>>r&1 == 0 {
		return 0, false
	}
	return s.val[r], true
}

// Set gives register r a value. A number beyond MaxRegs is ignored.
func (s *Regs) Set(r Reg, v uint64) {
	if r < MaxRegs {
		s.val[r] = v
		s.valid |= 1 << r
	}
}

// Clear makes register r unknown.
func (s *Regs) Clear(r Reg) {
	if r < MaxRegs {
		s.val[r] = 0
		s.valid &^= 1 << r
	}
}

// Arch is a CPU whose stacks bt unwinds. It is never changed once it is made.
type Arch struct {
	Name    string      // as in uname -m: "x86_64", "i686"
	Machine elf.Machine // with Class, the ELF files that run on it
	Class   elf.Class
	Hosts   []string // the values of GOARCH whose kernels run its programs
	PtrSize int      // bytes in an address: 4 or 8

	NumRegs int      // DWARF registers 0 … NumRegs-1 are carried
	Names   []string // their names, without a sigil: "rax", "rip"
	PC      Reg      // the register that holds the pc
	SP, FP  Reg

	// Entry is the frame at a function's first instruction: where a call
	// leaves the return address, and how far the CFA is from the stack
	// pointer then.
	Entry Layout
	// Chain is the frame that a function has which keeps a frame pointer: by
	// way of that, what the psABI has the frame pointer point at. Its Base is NoReg
	// where functions do not agree on that.
	Chain Layout
	// StripPAC returns the address that the signed return address ra leads
	// to. mask has the bits that hold the authentication code; 0 where that
	// is not known. It is nil for a CPU that signs no addresses.
	StripPAC func(ra, mask uint64) uint64
	// Tag are the bits of a data address that the CPU ignores, where programs keep
	// tags.
	Tag uint64
	// ReturnBits are the bits of a return address that are no part of the address:
	// they tell which instruction set the caller uses.
	ReturnBits uint64
	// RedZone is how many bytes below the stack pointer may still be of use:
	// those that the psABI leaves to leaf functions, or what the last pops
	// have taken off.
	RedZone int
	Go      GoFrames
	// HotSpot is how the JDK's virtual machine uses the CPU, nil where that is not
	// known.
	HotSpot *HotSpot
	// V8 is how code that V8 has compiled makes its frames, nil where that is not known.
	V8 *V8

	// RegsetSize is the size in bytes of the NT_PRSTATUS register set that
	// PTRACE_GETREGSET and core files hold for a process of this CPU.
	RegsetSize int
	// DecodeRegset reads such a register set. It reports false when b is
	// not RegsetSize bytes long.
	DecodeRegset func(b []byte) (Regs, bool)
	// TLSBase reads the base address of thread-local storage from such a
	// register set. It is nil where the register set does not hold it.
	TLSBase func(b []byte) (uint64, bool)
	// TLSRegset is the type of another register set, whose first word is that
	// base; 0 where there is none.
	TLSRegset uint32
	// PACRegset is the type of the register set struct user_pac_mask, whose
	// second word is the mask for StripPAC; 0 where there is none.
	PACRegset uint32
	// TLSEntry reads the number of the descriptor that holds that base, for
	// PTRACE_GET_THREAD_AREA, from such a register set. It is nil for a CPU
	// that has no descriptors.
	TLSEntry func(b []byte) (int, bool)
	Syscalls Syscalls

	Traps Traps

	// Trampolines are the codes that a signal handler returns to.
	Trampolines []Trampoline

	// AfterCall reports whether code, the bytes that end where a return
	// address points, can end with a call instruction. Give it as many of
	// the MaxCall bytes before the return address as can be read.
	AfterCall func(code []byte) bool
	MaxCall   int
	// CallTarget tells where the call instruction leads that code ends with, whose
	// return address is ret: to addr, or, with slot set, to the address that the
	// memory at addr holds. It reports false for a call through a register.
	CallTarget func(code []byte, ret uint64) (addr uint64, slot, ok bool)

	// Analyze, Edge and Ahead are nil for a CPU whose code bt cannot follow.

	// Analyze finds the frame at pc by following the instructions of a
	// function from its start: for code that has no call frame information.
	// code holds the function's bytes from start onwards, at least up to
	// pc; the more of it, the better branches can be followed. For a frame
	// that has made a call, give the return address less one: a pc inside
	// of a call instruction is taken for one whose callee has been unwound.
	// start must be where the function is entered, not its cold part. It
	// reports false when the stack depth at pc cannot be told for certain.
	Analyze func(code []byte, start, pc uint64) (Layout, bool)

	// Edge tells the frame from the instruction at pc alone, where that is
	// the first or the last of a function that keeps a frame pointer: there
	// the frame pointer is still, or again, the caller's. For code that is
	// not described by anything, such as a JIT compiler's. before and code
	// are the bytes before pc and those from it.
	Edge func(before, code []byte) (Layout, bool)

	// Ahead finds the frame by following the code onwards, to where it
	// returns, or, where it never does, from what looks like a function's
	// start: for code of which not even that is known. code holds the bytes
	// around, from an address that is a multiple of 16, with the pc at index
	// pc; called says that the pc is a return address. It reports false
	// when the ways out do not agree.
	Ahead func(code []byte, pc int, called bool) (Layout, bool)

	// Forked tells where a thread at index pc of code goes on when the system
	// call that it returns from has a result of zero, as clone has in the thread
	// that it makes. It reports false unless pc is behind a system call and
	// before the branches on its result.
	Forked func(code []byte, pc int) (int, bool)

	// NoReturn reports whether code, which is entered at its first byte, ends
	// in an instruction that stops, such as hlt, whichever way it takes. It is
	// nil for a CPU of which that is not known.
	NoReturn func(code []byte) bool

	// StartsThread reports whether a thread begins in the code that made the call which
	// ends before code: where it returns, the thread ends. It is nil for a CPU on which
	// such code, where no table describes it, leaves a zero to tell that.
	StartsThread func(before, code []byte) bool

	// Extent returns the stretches of code that can be executed when it is
	// entered at its first byte, ascending: the instructions of one function.
	// Calls are taken to return. addr is the address of the first byte. It reports
	// false where that cannot be told: at a jump to an address that was computed
	// or comes from a table, and at bytes that are no instruction. Jumps beyond
	// code lead out of the function. It is nil for a CPU of which that is not
	// known.
	Extent func(code []byte, addr uint64) ([]Span, bool)

	// Disassemble reads the instruction at the start of code, which lies at
	// pc, for people; regs are the registers before it. It reports false
	// when it has no text for it. It is nil for a CPU that has none.
	Disassemble func(code []byte, pc uint64, regs *Regs) (Instruction, bool)
}

// Return tells where a frame's return address is: in register Reg if InReg is
// set, else in memory at CFA+Offset.
type Return struct {
	InReg  bool
	Reg    Reg
	Offset int64
}

// HotSpot is how the JDK's interpreter uses the registers of a CPU.
type HotSpot struct {
	// BCP holds the address of the bytecode that is executed
	// (cpu/*/templateTable_*.cpp, cpu/*/register_*.hpp).
	BCP Reg
}

// V8 is how code that V8 has compiled makes its frames.
type V8 struct {
	// Enters reports whether a function, of which code is the start, makes its frame
	// within its first bytes.
	Enters func(code []byte, within int) bool
	// Leaves reports whether code, which is a function up to the instruction that is
	// next, may have left the frame.
	Leaves func(code []byte) bool
}

// GoFrames is how Go's compiler makes the frames of a CPU, beyond what its table
// of stack pointer deltas tells.
type GoFrames struct {
	// FramePointer is set where every function that has a frame keeps a frame
	// pointer, which points at the caller's, below the return address.
	FramePointer bool
	// Unframed reports whether code begins with an instruction of a function's
	// prologue or epilogue that finds the stack pointer moved, but the caller's
	// frame pointer. It is nil where there is none.
	Unframed func(code []byte) bool
	// Restarts reports whether code, which lies at addr, jumps to a function's entry: as
	// behind the call that asks for a larger stack, before the function has a frame. It
	// is nil where that call has the return address on the stack.
	Restarts func(code []byte, addr, entry uint64) bool
	// Injected is how many bytes below the stack pointer a signal handler takes when
	// it makes the interrupted function call another: it saves the link register
	// at the bottom of them.
	Injected int64
	// MCallArg is set where runtime.mcall has left its goroutine on top of the
	// scheduler's stack.
	MCallArg bool
	// DepthFirst is set where runtime.asmcgocall keeps on the system stack the depth
	// of the goroutine's stack below the goroutine, else the goroutine lies below.
	DepthFirst bool
	// Exit returns the first bytes of runtime.goexit, which calls a function that
	// lies distance bytes behind it: by them the program's code is found.
	Exit func(distance uint64) []byte
	// References returns the addresses of data that code, which lies at addr, refers
	// to by its instructions' operands: all that may be one, in their order, and
	// maybe others as well. It is nil for a CPU whose instructions bt does not read.
	References func(code []byte, addr uint64) []uint64
	// G is the register that holds the current goroutine while Go code runs,
	// NumRegs or more where there is none.
	G Reg
}

// Syscalls is what is to be known of the kernel's system calls.
type Syscalls struct {
	Result Reg   // the register that holds the result
	Args   []Reg // the registers that hold the arguments, in order
	Vfork  []int // the numbers of those whose caller may wait for its child

	// Asleep reads from a register set which system call the thread sleeps in: one
	// that the stop, or the signal that a core was made for, has interrupted. It
	// reports false where the thread was not in a system call.
	Asleep func(regset []byte) (Call, bool)
	// Rewound is how many bytes before the pc that procfs tells of a thread in a system
	// call a tracer finds it, when its stop has interrupted a call that is made again.
	Rewound int
	// Instructions are those that enter the kernel.
	Instructions [][]byte
	// Number tells which system call the instructions make, the last of which enters
	// the kernel, if that is one of nrs. It is nil where nothing is known of that.
	Number func(code []byte, nrs []int) (int, bool)
	// Relay reports whether code, up to the call that enters the kernel, is the
	// function of a C library that makes calls whose number its caller has set. It is
	// nil where there is none.
	Relay func(code []byte) bool
	// Names are the system calls by their numbers, with empty ones between.
	Names []string
	// Struct32 is set where a time in old system calls has two words of 4 bytes, and
	// an offset in a file 4 bytes: of 32-bit programs.
	Struct32 bool
}

// Call is a system call that a thread sleeps in.
type Call struct {
	Nr   int // of Syscalls.Names; restart_syscall is one that was interrupted before
	Args [6]uint64
	// Unproved is set where the registers are the same just before a system call:
	// the instruction that is Behind bytes before the pc must be one that enters the
	// kernel, and proves no more than that.
	Unproved bool
	Behind   int
	Lost     bool // the first argument is not known
	// Ended is set where the call has a result, maybe but for the stop: a write that
	// slept in its middle returns what it has written.
	Ended bool
}

// Interrupted reports whether a system call's result says that a signal, or a stop,
// has ended it before it had one: EINTR, and the kernel's own ERESTARTSYS,
// ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK (include/linux/errno.h).
func Interrupted(result int64) bool {
	switch -result {
	case 4, 512, 513, 514, 516:
		return true
	}
	return false
}

// Name is the name of a system call, empty for a number that is not known.
func (s *Syscalls) Name(nr int) string {
	if nr < 0 || nr >= len(s.Names) {
		return ""
	}
	return s.Names[nr]
}

// Traps is how the kernel reports the faults of a CPU.
type Traps struct {
	// Breakpoint is how many bytes behind the breakpoint instruction that
	// caused a SIGTRAP the pc is.
	Breakpoint int
	// Canonical reports whether there can be memory at addr. It is nil where
	// there can be at all.
	Canonical func(addr uint64) bool
	// Untag takes the tag off an address that no tag is part of. It is nil where
	// there are no tags, or the kernel takes them off the addresses of faults.
	Untag func(addr uint64) uint64
	// Silent is set where the kernel gives no address (SI_KERNEL) for a fault at
	// one that is not canonical.
	Silent bool
	// Aligned is the width in bytes from which on a memory operand that is
	// not aligned to its width can be such a fault, too.
	Aligned int
	// Refused tells why the CPU did not execute the instruction at the start of
	// code, at which a SIGILL has come. It is nil for a CPU that refuses none that
	// it knows.
	Refused func(code []byte, regs *Regs) Refusal
}

// Refusal is why a CPU does not execute an instruction that it knows.
type Refusal uint8

const (
	// NotRefused: for none of these reasons.
	NotRefused Refusal = iota
	// NoLandingPad: a branch to an address from a register led to an instruction
	// that marks no place to go to.
	NoLandingPad
	// NotAuthentic: the instruction authenticates an address, whose signature is
	// wrong.
	NotAuthentic
)

// Span is a stretch of bytes, from Start up to End.
type Span struct{ Start, End int }

// Instruction is what Disassemble tells of one instruction.
type Instruction struct {
	Text  string // in the syntax of GNU as
	Size  int    // in bytes
	Width int    // of its memory operand, in bytes; 0 if that is not known
	// Addrs are the addresses of its memory operands, as far as the
	// registers tell them. The stack that a push or a call uses is none.
	Addrs []uint64
}

// Layout is a frame without a row: the canonical frame address (CFA), which is
// the stack pointer before the call, is Base+Offset, or, when Indirect is set,
// Add more than the word that lies at Base+Offset. Return tells where the return
// address is, and Saved where the callee-saved registers that the function has
// changed so far lie, relative to the CFA.
type Layout struct {
	Base     Reg
	Offset   int64
	Indirect bool
	Add      int64
	// Least is set where the CFA may lie higher: the caller's stack pointer is
	// not known then.
	Least  bool
	Return Return
	Saved  []SavedReg

	// InFrame lists the registers that were saved on an aligned stack, at no
	// fixed distance from the CFA: they lie at Frame+Offset.
	Frame   Reg
	InFrame []SavedReg
}

// SavedReg says that the caller's value of Reg lies at CFA+Offset. In a Layout,
// NoOffset says that the value is lost.
type SavedReg struct {
	Reg    Reg
	Offset int64
}

// Trampoline is the code that the kernel or libc has a signal handler return
// to, and the signal frame that lies on the stack at that moment. It serves
// where the code has no call frame information with the 'S' augmentation.
// All offsets in bytes are relative to the stack pointer at the pc in question.
type Trampoline struct {
	Name string
	Code []byte // the instructions, from the trampoline's first byte

	// At lists the places in Code at which a thread can be found, and what
	// the trampoline itself has popped off the stack by then.
	At []TrampolinePoint

	// Regs tells where the interrupted registers lie, relative to the stack
	// pointer at Code's first byte.
	Regs []SavedReg

	Signal SignalFrame
}

// TrampolinePoint is a pc inside a trampoline: Offset bytes from its start,
// with Popped bytes already taken off the stack.
type TrampolinePoint struct {
	Offset int
	Popped int64
}

// SignalFrame says where a signal frame tells which signal it was, relative to
// the stack pointer at the trampoline's first instruction. A field that the
// frame does not have is NoOffset.
type SignalFrame struct {
	Signo   int64 // int: the signal's number
	Siginfo int64 // struct siginfo, whose first int is the number; stale without SA_SIGINFO
	Mask    int64 // 64-bit sigset of the interrupted code (uc_sigmask)
}

// NoOffset marks a field that a SignalFrame does not have, and a register whose
// value a Layout does not find.
const NoOffset int64 = -1 << 63
