package x86

import (
	"bufio"
	"debug/elf"
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
	{"/lib64/ld-linux-x86-64.so.2", &AMD64},
	{"/lib/x86_64-linux-gnu/libcrypto.so.3", &AMD64},
	{"/lib32/libc.so.6", &I386},
	{"/lib32/ld-linux.so.2", &I386},
	{"/lib32/libm.so.6", &I386},
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

// each runs f as a subtest for each file of the corpus.
func each(t *testing.T, f func(t *testing.T, path string, m *Mode)) {
	for i, c := range corpus {
		if testing.Short() && i%3 != 0 {
			continue
		}
		t.Run(strings.TrimPrefix(c.path, "/"), func(t *testing.T) {
			if _, err := elf.Open(c.path); os.IsNotExist(err) {
				t.Skip("not on this machine")
			}
			f(t, c.path, c.mode)
		})
	}
}

func TestDecodeLikeObjdump(t *testing.T) {
	each(t, func(t *testing.T, path string, m *Mode) {
		n, bad := 0, 0
		objdump(t, path, func(pc uint64, code []byte, text string) {
			if strings.Contains(text, "(bad)") || strings.Contains(text, ".byte") {
				return
			}
			n++
			var in inst
			// Bytes after the instruction must not count.
			ok := m.decode(append(code, 0x90, 0x90), &in)
			if ok && in.size == len(code) {
				return
			}
			// objdump prints fwait and a lone prefix apart.
			if len(code) == 1 || strings.HasPrefix(text, "f") && code[0] == 0x9b {
				return
			}
			if bad++; bad < 40 {
				t.Errorf("%x: % x %s: decoded %v, %d bytes", pc, code, text, ok, in.size)
			}
		})
		t.Logf("%d instructions, %d differ", n, bad)
	})
}

func TestAfterCallMissesNone(t *testing.T) {
	each(t, func(t *testing.T, path string, m *Mode) {
		calls, others, false_ := 0, 0, 0
		objdump(t, path, func(pc uint64, code []byte, text string) {
			word, _, _ := strings.Cut(text, "(bad)")
			isCall := false
			for _, w := range strings.Fields(word) {
				if w == "call" || w == "lcall" || w == "callq" {
					isCall = true
				}
			}
			got := m.AfterCall(code)
			switch {
			case isCall:
				calls++
				if !got {
					t.Errorf("%x: % x %s: not seen as a call", pc, code, text)
				}
			default:
				others++
				if got {
					false_++
				}
			}
		})
		t.Logf("%d calls, %d other instructions of which %d end like a call", calls, others, false_)
	})
}
