package stack

// Death is why a process died, or is about to.
type Death struct {
	// Signal is the name of the signal, "SIGSEGV".
	Signal string `json:"signal"`
	// Text says in one line why: the signal, the address, what is mapped there,
	// and what that means. What the target has a hand in is escaped.
	Text string `json:"text"`
	// Addr is the address whose use was the fault; nil where there is none.
	Addr *uint64 `json:"addr,omitempty"`
	// Instruction is the instruction that was the fault, nil if it is not known.
	Instruction *Instruction `json:"instruction,omitempty"`
	// Code are the bytes around the instruction, from CodeAddr on; nil if they are
	// not known.
	Code []byte `json:"code,omitempty"`
	// PC is the address of the instruction in Code.
	PC uint64 `json:"pc,omitempty"`
	// CodeAddr is the address of the first byte of Code.
	CodeAddr uint64 `json:"code_addr,omitempty"`
	// Registers are the thread's registers, in the order of the CPU's manual.
	Registers []Register `json:"registers,omitempty"`
	// WordSize is the size of an address in bytes, of the thread that died.
	WordSize int `json:"word_size,omitempty"`
}

// Instruction is one machine instruction.
type Instruction struct {
	// Addr is where it begins.
	Addr uint64 `json:"addr"`
	// Text is the instruction in the assembler's syntax.
	Text string `json:"text"`
}

// Register is a register and its value.
type Register struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}
