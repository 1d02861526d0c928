//go:build linux

package trace_test

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

func TestCause(t *testing.T) {
	m, err := maps.Parse([]byte("00400000-00401000 r--p 00000000 08:01 5    /bin/a\x1b\n" +
		"00600000-00601000 rw-p 00000000 00:00 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	var regs, regs32 arch.Regs
	regs.Set(amd64.RAX, 0x10)
	regs.Set(amd64.RIP, 0x401100)
	for i := range arch.Reg(9) {
		regs32.Set(i, 0xf0000000+uint64(i))
	}
	code := []byte{0x90, 0x8b, 0x00}
	for _, tt := range []struct {
		death fault.Death
		want  string
	}{
		{fault.Death{Signo: 9}, "# killed by SIGKILL\n"},
		{fault.Death{Signo: 15, PID: 1, Info: &fault.Siginfo{Signo: 15, Sender: 77, UID: 5, HasSender: true}},
			"# killed by SIGTERM (SI_USER): sent by process 77 (uid 5)\n"},
		{fault.Death{Signo: 15, PID: 1, Info: &fault.Siginfo{Signo: 15, HasSender: true}},
			"# killed by SIGTERM (SI_USER): sent by a process of another PID namespace (uid 0)\n"},
		{fault.Death{Signo: 6, PID: 77, Info: &fault.Siginfo{Signo: 6, Code: -6, Sender: 77, UID: 5, HasSender: true}},
			"# killed by SIGABRT (SI_TKILL): sent by the process itself\n"},
		{fault.Death{Signo: 31, Info: &fault.Siginfo{Signo: 31, Code: 1, Addr: 0x401100, HasAddr: true, Syscall: 39, HasSyscall: true}, Maps: m},
			"# killed by SIGSYS (SYS_SECCOMP) at 0x401100: system call 39\n"},
		{fault.Death{Signo: 11, Info: &fault.Siginfo{Signo: 11, Code: 1, Addr: 0x10, HasAddr: true}, Maps: m, Arch: amd64.Arch, Regs: &regs, Code: code, CodeAddr: 0x4010ff},
			"# killed by SIGSEGV (SEGV_MAPERR) at 0x10: a null pointer; nothing is mapped there\n" +
				"# instruction 0000000000401100: mov (%rax),%eax\n# code 90 <8b> 00\n" +
				"# registers rax=0000000000000010 rip=0000000000401100\n"},
		{fault.Death{Signo: 11, Info: &fault.Siginfo{Signo: 11, Code: 2, Addr: 0x400010, HasAddr: true}, Maps: m},
			`# killed by SIGSEGV (SEGV_ACCERR) at 0x400010: a write; in r--p /bin/a\x1b (0x400000-0x401000)` + "\n"},
		{fault.Death{Signo: 11, Info: &fault.Siginfo{Signo: 11, Code: 1, Addr: 0x5ffff0, HasAddr: true}, Maps: m},
			"# killed by SIGSEGV (SEGV_MAPERR) at 0x5ffff0: nothing is mapped there, 0x10 below rw-p (anon) (0x600000-0x601000)\n"},
		{fault.Death{Signo: 11, Info: &fault.Siginfo{Signo: 11, Code: 1, Addr: 0x601020, HasAddr: true}, Maps: m},
			"# killed by SIGSEGV (SEGV_MAPERR) at 0x601020: nothing is mapped there, 0x20 above the end of rw-p (anon) (0x600000-0x601000)\n"},
		{fault.Death{Signo: 4, Info: &fault.Siginfo{Signo: 4, Code: 2, Addr: 0xf0000008, HasAddr: true}, Maps: m, Arch: i386.Arch, Regs: &regs32, Code: []byte{0x0f, 0x0b}, CodeAddr: 0xf0000008},
			"# killed by SIGILL (ILL_ILLOPN) at 0xf0000008\n# instruction f0000008: ud2\n# code <0f> 0b\n" +
				"# registers eax=f0000000 ecx=f0000001 edx=f0000002 ebx=f0000003\n" +
				"# registers esp=f0000004 ebp=f0000005 esi=f0000006 edi=f0000007\n# registers eip=f0000008\n"},
	} {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		c := fault.Explain(tt.death)
		p := text.Printer{W: w}
		p.Head(&stack.Process{PID: 1, Name: "x", Death: trace.Death(&c)}, render.Sample{})
		w.Flush()
		if diff := cmp.Diff(strings.Split(tt.want, "\n"), strings.Split(strings.TrimPrefix(out.String(), "# process 1 x\n"), "\n")); diff != "" {
			t.Error(diff)
		}
	}
}

// A breakpoint lies before the pc: the function and the line are those of the instruction.
func TestDiedOfBreakpoint(t *testing.T) {
	var regs arch.Regs
	regs.Set(amd64.Arch.PC, 0x401001)
	for code, exact := range map[int]bool{0x80: false, 2: true} { // SI_KERNEL, TRAP_TRACE
		p := &stack.Process{Threads: []stack.Thread{{Frames: []stack.Frame{{PC: 0x401001, Exact: true}}}}}
		c := fault.Explain(fault.Death{Signo: 5, Info: &fault.Siginfo{Signo: 5, Code: code}, Arch: amd64.Arch, Regs: &regs})
		trace.Died(p, &c)
		if got := p.Threads[0].Frames[0].Exact; got != exact || p.Death == nil {
			t.Errorf("si_code %d: exact %v", code, got)
		}
	}
}
