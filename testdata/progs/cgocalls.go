// C and Go call each other in turn, three times, and then the last one does
// what the argument says: it waits or works, in C or in Go. Built as a program
// main calls C; built as a library (see gohost.c) C code calls Enter.
package main

/*
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

extern int Enter(int depth, int what);

static volatile int sink, leave;

__attribute__((noinline)) static int c_inner(int depth, int what)
{
	volatile char block[48];
	int r;

	block[depth & 31] = 1;
	r = Enter(depth, what);
	return r + block[depth & 7] + sink;
}

__attribute__((noinline)) static int c_outer(int depth, int what)
{
	int r = c_inner(depth, what);

	return r + sink;
}

__attribute__((noinline)) static int c_wait(int n)
{
	while (!leave)
		pause();
	return n + sink;
}

__attribute__((noinline)) static int c_work(int n)
{
	while (!leave)
		sink += n;
	return n + sink;
}

static void c_ready(void)
{
	// Go ignores SIGALRM.
	signal(SIGALRM, SIG_DFL);
	alarm(300);
	puts("ready 0");
	fflush(stdout);
}
*/
import "C"

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	waitInC = iota
	workInC
	waitInGo
	workInGo
	growStack
	callRuntime
)

var names = []string{"wait-c", "work-c", "wait-go", "work-go", "grow", "runtime"}

//export Enter
func Enter(depth, what C.int) C.int {
	if depth > 0 {
		return goOuter(depth-1, what)
	}
	return goLast(what)
}

//go:noinline
func goOuter(depth, what C.int) C.int { return C.c_outer(depth, what) + 1 }

var total int

//go:noinline
func goLast(what C.int) C.int {
	C.c_ready()
	switch what {
	case waitInC:
		return C.c_wait(1) + 1
	case workInC:
		return C.c_work(1) + 1
	case waitInGo:
		time.Sleep(time.Hour)
	case workInGo:
		for i := 0; total >= 0; i++ {
			total = total ^ i&1
		}
	case growStack:
		// A stack that has grown shrinks when memory is collected.
		for i := 0; total >= 0; i++ {
			total += deep(60) & 1
			if i%16 == 0 {
				runtime.GC()
			}
		}
	case callRuntime:
		for total >= 0 {
			total += len(debug.Stack()) & 1
			total += runtime.NumGoroutine() & 1
			runtime.Gosched()
		}
	}
	return 0
}

//go:noinline
func deep(n int) int {
	var block [2048]byte
	block[n&2047] = 1
	if n == 0 {
		return int(block[total&2047])
	}
	return deep(n-1) + int(block[(n+1)&2047])
}

func main() {
	for what, name := range names {
		if len(os.Args) > 1 && os.Args[1] == name {
			println(goOuter(2, C.int(what)))
		}
	}
}
