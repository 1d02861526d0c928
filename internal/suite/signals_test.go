//go:build linux

package suite

import (
	"fmt"
	"strings"
	"testing"
)

// flavours are the ways in which a program can be built.
var flavours = []struct {
	name, cc string
	flags    []string
}{
	{"O1", "gcc", []string{"-O1"}},
	{"O0", "gcc", []string{"-O0"}},
	{"O2-omit-frame-pointer", "gcc", []string{"-O2", "-fomit-frame-pointer"}},
	{"no-eh-frame", "gcc", []string{"-O2", "-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"}},
	{"no-pie", "gcc", []string{"-O2", "-no-pie"}},
	{"static", "gcc", []string{"-O2", "-static"}},
	{"static-pie", "gcc", []string{"-O2", "-static-pie"}},
	{"m32", "gcc", []string{"-O2", "-m32"}},
	{"m32-static", "gcc", []string{"-O1", "-static", "-m32"}},
	{"musl", "musl-gcc", []string{"-O2"}},
	{"musl-static", "musl-gcc", []string{"-O1", "-static"}},
}

// eachFlavour builds src in every flavour and runs f on it.
func eachFlavour(t *testing.T, src string, f func(t *testing.T, prog string)) {
	for _, fl := range flavours {
		t.Run(fl.name, func(t *testing.T) {
			if testing.Short() && fl.name != "O1" {
				t.Skip("-short")
			}
			t.Parallel()
			f(t, build(t, fl.cc, src, fl.flags...))
		})
	}
}

func TestSignals(t *testing.T) {
	const onRaise = " libc interrupted main libc _start"
	// libc frees registers at will before it enters the kernel, so the
	// trampoline's own neighbours are compared by name and order alone.
	modes := []struct{ mode, chain string }{
		{"plain", "libc block on_signal SIG?SIGUSR1" + onRaise},
		{"siginfo", "libc block on_siginfo SIG:SIGUSR1" + onRaise},
		{"altstack", "libc block on_signal SIG?SIGUSR1" + onRaise},
		{"localstack", "libc block on_signal SIG?SIGUSR1" + onRaise},
		{"nested", "libc block on_signal SIG?SIGUSR2 libc on_outer SIG?SIGUSR1" + onRaise},
		{"nested5", "libc block on_level SIG?SIGTERM libc on_level SIG?SIGINT libc on_level SIG?SIGHUP" +
			" libc on_level SIG?SIGUSR2 libc on_level SIG?SIGUSR1" + onRaise},
		{"callnull", "libc block on_signal SIG?SIGSEGV 0x0 calls main libc _start"},
		{"callunmapped", "libc block on_signal SIG?SIGSEGV READY calls main libc _start"},
		{"jumpunmapped", "libc block on_signal SIG?SIGSEGV READY calls_jumps main libc _start"},
		{"calldata", "libc block on_signal SIG?SIGSEGV READY calls main libc _start"},
	}
	eachFlavour(t, "signals.c", func(t *testing.T, prog string) {
		for _, m := range modes {
			t.Run(m.mode, func(t *testing.T) {
				p := start(t, prog, m.mode)
				th := snapshot(t, p.pid).main(t)
				th.wantChain(t, strings.ReplaceAll(m.chain, "READY", fmt.Sprintf("0x%x", p.word)))
			})
		}
	})
}

func TestChains(t *testing.T) {
	eachFlavour(t, "chain.c", func(t *testing.T, prog string) {
		p := start(t, prog)
		snapshot(t, p.pid).main(t).wantChain(t, "libc block vla realigned manyargs saves main libc _start")
	})
	for name, flags := range map[string][]string{
		"no-eh-frame-hdr": {"-O2", "-Wl,--no-eh-frame-hdr"},
		"debug-frame":     {"-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"},
		"one-segment":     {"-O2", "-Wl,-z,noseparate-code", "-Wl,-z,norelro"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, build(t, "gcc", "chain.c", flags...))
			snapshot(t, p.pid).main(t).wantChain(t, "libc block vla realigned manyargs saves main libc _start")
		})
	}
	t.Run("stripped", func(t *testing.T) {
		p := start(t, build(t, "gcc", "chain.c", "-O2", "-s"))
		th := snapshot(t, p.pid).main(t)
		// pause, the six functions, two of libc, _start
		if th.end != "" || len(th.frames) < 9 {
			t.Errorf("got:\n%s", th)
		}
	})
}

// A call that never returns, as its function's last instruction: the return
// address is the first of the next function.
func TestNoReturn(t *testing.T) {
	for _, level := range []string{"-O2", "-O0"} {
		t.Run(level, func(t *testing.T) {
			p := start(t, build(t, "gcc", "noreturn.c", level, "-falign-functions=1", "-fno-toplevel-reorder"))
			th := snapshot(t, p.pid).main(t)
			th.wantChain(t, "libc stop_forever last_call main libc _start")
		})
	}
}

func TestDeep(t *testing.T) {
	const depth = 80_000 // of 96 bytes on arm64, and the stack has 8 MiB
	p := start(t, build(t, "gcc", "deep.c", "-O1"), itoa(depth))
	snapshot(t, p.pid, "-n", "0").main(t).wantChain(t, "libc recurse*"+itoa(depth)+" main libc _start")

	th := only(t, bt(t, "--pid", itoa(p.pid)).want(t, 3), p.pid).main(t)
	if len(th.frames) != 256 || !strings.Contains(th.end, "256") {
		t.Errorf("%d frames, end %q; want 256 and to be told so", len(th.frames), th.end)
	}
	if err := matchChain(th.frames[:50], []string{"libc", "recurse*49"}); err != nil {
		t.Error(err)
	}
}

// A C++ program: the demanglings, by the flag.
func TestDemangle(t *testing.T) {
	p := start(t, build(t, "g++", "demangle.cc", "-O1"))
	for mode, want := range map[string][2]string{
		"full":  {"shop::Till<long>::close(long)", "shop::open(long, char const*)"},
		"short": {"shop::Till<long>::close", "shop::open"},
		"none":  {"_ZN4shop4TillIlE5closeEl", "_ZN4shop4openElPKc"},
	} {
		th := snapshot(t, p.pid, "--demangle", mode).main(t)
		var names []string
		for _, f := range th.frames {
			if !libcName.MatchString(f.name) && f.name != "" {
				names = append(names, f.name)
			}
		}
		if len(names) != 3 || [2]string(names[:2]) != want || names[2] != "main" {
			t.Errorf("--demangle %s: %q, want %q", mode, names, want)
		}
	}
	if full := snapshot(t, p.pid).main(t); !strings.Contains(full.String(), "shop::open(long, char const*)+") {
		t.Errorf("by default:\n%s", full)
	}
}
