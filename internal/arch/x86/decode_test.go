package x86

import (
	"bufio"
	"encoding/hex"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// corpus is real code on the machine: those of the files that are installed.
var corpus = []struct {
	path string
	mode *Mode
}{
	{"/lib/x86_64-linux-gnu/libc.so.6", &AMD64},
	{"/lib/x86_64-linux-gnu/libcrypto.so.3", &AMD64},
	{"/lib32/libc.so.6", &I386},
}

// objdump calls f for each instruction of the file's executable sections.
func objdump(t *testing.T, path string, f func(pc uint64, code []byte, text string)) {
	t.Helper()
	tool := testenv.Need(t, "objdump", "binutils")
	cmd := exec.Command(tool, "-d", "-w", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		col := strings.Split(sc.Text(), "\t")
		if len(col) != 3 || !strings.HasSuffix(col[0], ":") {
			continue
		}
		pc, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(col[0], ":")), 16, 64)
		if err != nil {
			continue
		}
		code, err := hex.DecodeString(strings.ReplaceAll(col[1], " ", ""))
		if err != nil {
			t.Fatalf("objdump line %q: %v", sc.Text(), err)
		}
		f(pc, code, col[2])
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestLikeObjdump compares the lengths of all instructions of real files with
// objdump's, and checks that AfterCall knows each of their calls.
func TestLikeObjdump(t *testing.T) {
	for _, c := range corpus {
		t.Run(c.path[1:], func(t *testing.T) {
			if testing.Short() && c.mode == &AMD64 {
				t.Skip("takes seconds")
			}
			if _, err := os.Stat(c.path); err != nil {
				t.Skip("not on this machine")
			}
			n, bad, calls, others, taken := 0, 0, 0, 0, 0
			objdump(t, c.path, func(pc uint64, code []byte, text string) {
				if strings.Contains(text, "(bad)") || strings.Contains(text, ".byte") {
					return
				}
				n++
				var in inst
				// Bytes after the instruction must not count.
				if ok := c.mode.decode(append(code, 0x90, 0x90), &in); !ok || in.size != len(code) {
					// objdump prints fwait and a lone prefix apart.
					if len(code) > 1 {
						t.Logf("%x: % x %s: decoded %v, %d bytes", pc, code, text, ok, in.size)
						bad++
					}
				}
				isCall := false
				for _, w := range strings.Fields(text) {
					isCall = isCall || w == "call" || w == "lcall"
				}
				got := c.mode.AfterCall(code)
				switch {
				case isCall:
					if calls++; !got {
						t.Errorf("%x: % x %s: not seen as a call", pc, code, text)
					}
				case got:
					taken++
					fallthrough
				default:
					others++
				}
			})
			t.Logf("%d instructions, %d differ; %d calls, %d other instructions of which %d end like one", n, bad, calls, others, taken)
			// libcrypto has tables among its code, which no two
			// disassemblers read alike.
			if bad > n/10000 {
				t.Errorf("%d of %d instructions differ from objdump's", bad, n)
			}
		})
	}
}

func TestAfterCall(t *testing.T) {
	for _, c := range []struct {
		mode *Mode
		code string
		want bool
	}{
		{&AMD64, "e8 00 00 00 00", true},
		{&AMD64, "66 66 48 e8 12 34 56 78", true}, // call __tls_get_addr@plt, padded
		{&AMD64, "66 48 e8 12 34 56 78", true},
		{&AMD64, "ff d0", true},                // call *%rax
		{&AMD64, "41 ff d4", true},             // call *%r12
		{&AMD64, "3e ff d0", true},             // notrack call *%rax
		{&AMD64, "ff 15 00 00 00 00", true},    // call *0(%rip)
		{&AMD64, "67 e8 00 00 00 00", true},    // addr32 call, from a relaxed one
		{&AMD64, "ff 10", true},                // call *(%rax)
		{&AMD64, "ff 14 c2", true},             // call *(%rdx,%rax,8)
		{&AMD64, "ff 14 25 00 00 60 ff", true}, // call *0xffffffffff600000
		{&AMD64, "ff 54 24 08", true},          // call *8(%rsp)
		{&AMD64, "ff 94 c1 00 01 00 00", true}, // call *0x100(%rcx,%rax,8)
		{&AMD64, "42 ff 54 f9 10", true},       // call *0x10(%rcx,%r15,8)
		{&AMD64, "64 ff 14 25 10 00 00 00", true},
		{&I386, "65 ff 15 10 00 00 00", true}, // call *%gs:0x10
		{&I386, "9a 00 00 00 00 33 00", true}, // lcall
		{&I386, "67 ff 56 04", true},          // call *4(%bp), 16-bit addressing
		{&AMD64, "9a 00 00 00 00 33 00", false},
		{&AMD64, "0f 05", false}, // syscall
		{&I386, "cd 80", false},
		{&I386, "0f 34", false},
		{&AMD64, "ff e0", false}, // jmp *%rax
		{&AMD64, "ff 25 00 00 00 00", false},
		{&AMD64, "ff 30", false}, // push
		{&AMD64, "c3", false},
		{&AMD64, "00 00 00 00", false},
		{&AMD64, "", false},
	} {
		code, err := hex.DecodeString(strings.ReplaceAll(c.code, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.mode.AfterCall(code); got != c.want {
			t.Errorf("%d-bit % x: %v, want %v", 8*c.mode.PtrSize, code, got, c.want)
		}
		// Nothing before the call matters.
		if c.want {
			if !c.mode.AfterCall(append([]byte{0x0f, 0x1f, 0x44}, code...)) {
				t.Errorf("%d-bit % x: not seen behind other code", 8*c.mode.PtrSize, code)
			}
		}
	}
}
