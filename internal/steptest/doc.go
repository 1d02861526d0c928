// Package steptest single-steps programs and compares, before every
// instruction, the stack that the unwinder finds with one that is kept by
// watching calls and returns. It holds tests only.
package steptest
