//go:build linux

package suite

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A chain says what a stack must show, from the innermost frame outwards, as
// words with spaces between:
//
//	name         a frame of this name; a|b is one or the other
//	libc         any number of frames that are unnamed or have a name of the C
//	             library: which it has depends on its debug symbols
//	SIG:NAME     a signal trampoline for this signal
//	SIG?NAME     the same; the line before it may leave the name out, as signal
//	             frames made without SA_SIGINFO do not tell it
//	0xHEX        a frame at this address
//	-            a frame without a name
//	name*N       N frames of this name
func (th thread) wantChain(t testing.TB, chain string) {
	t.Helper()
	if runtime.GOARCH == "arm64" && strings.Contains(t.Name(), "/musl") {
		chain = strings.TrimSuffix(chain, " _start") // which jumps there
	}
	if err := matchChain(th.frames, strings.Fields(chain)); err != nil {
		t.Errorf("thread %d: %v\nwant %s\ngot:\n%s", th.tid, err, chain, th)
	}
	if th.end != "" {
		t.Errorf("thread %d: end: %s\ngot:\n%s", th.tid, th.end, th)
	}
}

// libcName matches functions of glibc and musl that a waiting, starting or
// raising thread is in.
var libcName = regexp.MustCompile(`^_*(GI_)?_*(kernel_vsyscall|pause|g?signal|raise|memset|(pthread_)?kill.*|pthread_kill.*|tgkill|` +
	`libc_.*|start_call_main|start_thread|start_c|start|clone[23]?|vfork|usleep|(clock_)?nanosleep.*|` +
	`syscall_cp.*|sccp|cp_begin|cp_end|syscall_cancel.*|cancellation.*|timedwait.*|do_pthread_kill.*|restore_sigs|block_.*sigs|` +
	`syscall_ret|exit|unmapself|pthread_(create|join|exit|mutex|cond|timed).*|getppid|sigsuspend|sigaction|read|write|wait|poll|futex.*)$`)

// A stripped musl has no name for its trampoline.
var trampoline = regexp.MustCompile(`^(|_*restore(_rt)?|__kernel_(rt_)?sigreturn|__default_(rt_)?sa_restorer)$`)

func (f frame) is(word string) bool {
	switch {
	case word == "-":
		return f.name == "" && !f.signal
	case word == "libc":
		return (f.name == "" || libcName.MatchString(f.name)) && !f.signal
	case strings.HasPrefix(word, "SIG:"):
		return f.signal && f.signo == word[4:] && trampoline.MatchString(f.name)
	case strings.HasPrefix(word, "SIG?"):
		return f.signal && (f.signo == word[4:] || f.signo == "") && trampoline.MatchString(f.name)
	case strings.HasPrefix(word, "0x"):
		addr, err := strconv.ParseUint(word[2:], 16, 64)
		return err == nil && f.addr == addr && !f.signal
	}
	return slices.Contains(strings.Split(word, "|"), f.name) && !f.signal
}

func matchChain(frames []frame, chain []string) error {
	i := 0
	for w, word := range chain {
		if word == "libc" {
			next := ""
			if w+1 < len(chain) {
				next, _, _ = strings.Cut(chain[w+1], "*")
			}
			for i < len(frames) && frames[i].is("libc") && (next == "" || !frames[i].is(next)) {
				i++
			}
			continue
		}
		count := 1
		if name, n, ok := strings.Cut(word, "*"); ok {
			word = name
			count, _ = strconv.Atoi(n)
		}
		for ; count > 0; count-- {
			if i == len(frames) {
				return fmt.Errorf("the stack ends where %s should be", word)
			}
			if !frames[i].is(word) {
				return fmt.Errorf("frame %d (%x %s) is not %s", i, frames[i].addr, frames[i].name, word)
			}
			i++
		}
	}
	if i < len(frames) {
		return fmt.Errorf("frame %d (%x %s) lies behind the end", i, frames[i].addr, frames[i].name)
	}
	return nil
}

func TestMatchChain(t *testing.T) {
	stack := []frame{{name: "pause"}, {name: "f"}, {signal: true, signo: "SIGHUP"}, {addr: 16}, {name: "f"}, {name: "f"}, {}, {name: "_start"}}
	for chain, ok := range map[string]bool{
		"libc f SIG:SIGHUP 0x10 f*2 libc _start":      true,
		"libc f SIG?SIGHUP libc f*2 - _start":         true,
		"pause g|f SIG:SIGHUP - f f libc":             true,
		"libc f SIG?SIGINT libc f*2 libc _start":      false,
		"libc f libc f*2 libc _start":                 false,
		"libc f SIG:SIGHUP 0x10 f*3 libc _start":      false,
		"libc f SIG:SIGHUP 0x10 f*2 libc":             true,
		"libc f SIG:SIGHUP 0x10 f*2":                  false,
		"f SIG:SIGHUP 0x10 f*2 libc _start":           false,
		"libc f SIG:SIGHUP 0x10 f*2 libc _start more": false,
	} {
		if err := matchChain(stack, strings.Fields(chain)); (err == nil) != ok {
			t.Errorf("%s: %v", chain, err)
		}
	}
}
