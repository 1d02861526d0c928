// Package follow finds frames by following what a function's instructions do to
// the stack pointer and the callee-saved registers, along all paths from its start.
// It knows no CPU: the package of each decodes instructions and says what one does
// to a State.
package follow

// Flow says where execution goes after an instruction.
type Flow uint8

const (
	Next     Flow = iota
	Jump          // to the target
	Branch        // to the target or on
	Call          // on, when the callee returns
	Return        // to the caller
	Indirect      // to somewhere
	Stop          // nowhere: a trap
)

// Compare is what a Branch asks of the last comparison, as far as that matters: a
// loop that lowers the stack pointer ends where it equals a register.
type Compare uint8

const (
	Other     Compare = iota
	IfEqual           // it jumps where the two are equal
	IfUnequal         // it jumps where they are not
)

// NoReg is the number of no register.
const NoReg = 0xff
