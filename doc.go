// Package bt gets the stacks of Linux processes and cores, and names addresses:
// the functions, and if wanted the source lines, of every thread, through signal
// handlers, inlined calls and the code that the kernel maps into every process.
//
// A process is stopped for as long as copying its registers and stacks takes,
// microseconds to milliseconds, and runs on while they are unwound and named. It
// takes the permission to trace it (ptrace(2)); naming addresses alone does not.
//
// What comes out is the model of package stack. Something missing is no error: a
// stack says why it ends and a frame why it has no name, and the Complete methods
// tell whether anything is missing at all.
//
// The functions are for one target. A Session keeps opened files for several.
// Linux is needed for everything but the packages stack, maps, elfsym and
// symbolize.
package bt
