// Package symbolize names addresses: it fills in what a stack.Frame says of its
// module and its names, from symbol tables, separate debug files, Go's function
// table, the code that JIT compilers tell of, and the kernel's symbols.
//
// The strings that it hands out are its own or the model's. None lies in a mapped
// file, so that a file which someone truncates costs names and nothing else.
package symbolize
