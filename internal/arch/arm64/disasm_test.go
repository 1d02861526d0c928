package arm64

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// What GNU objdump says of libc's instructions, bt says, where it says anything.
func TestDisassembleAsObjdump(t *testing.T) {
	objdump := testenv.Need(t, "aarch64-linux-gnu-objdump", "binutils-aarch64-linux-gnu")
	libs := []string{"/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1", "/usr/aarch64-linux-gnu/lib/libm.so.6", "/usr/aarch64-linux-gnu/lib/libc.so.6", "/usr/aarch64-linux-gnu/lib/libstdc++.so.6"}
	if !testenv.Full() {
		libs = libs[:1]
	}
	line := regexp.MustCompile(`^ *([0-9a-f]+):\t([0-9a-f]{8}) \t(.*)$`)
	total, silent := 0, map[string]int{}
	for _, lib := range libs {
		out, err := exec.Command(objdump, "-d", lib).Output()
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
			m := line.FindStringSubmatch(s.Text())
			if m == nil {
				continue
			}
			pc, _ := strconv.ParseUint(m[1], 16, 64)
			in, _ := strconv.ParseUint(m[2], 16, 32)
			total++
			ins, ok := disassemble(binary.LittleEndian.AppendUint32(nil, uint32(in)), pc, nil)
			if !ok {
				name, _, _ := strings.Cut(m[3], " ")
				silent[strings.Fields(name)[0]]++
			} else if got, want := normal(ins.Text), normal(m[3]); got != want {
				t.Errorf("%s at %x: %s, objdump: %s", m[2], pc, got, want)
			}
		}
	}
	// Those of vectors of any length and of memory tagging.
	without := 0
	for _, n := range silent {
		without += n
	}
	if total < 20_000 || without > total/1000 {
		t.Errorf("%d instructions, of which %d have no text: %v", total, without, silent)
	}
}

// The encodings are those of GNU as.
func TestDisassembleByHand(t *testing.T) {
	for in, want := range map[uint32]string{
		0x00000000: "udf #0",
		0x0000002a: "udf #42",
		0xd503201f: "nop",
		0xd50320ff: "xpaclri",
		0xd503233f: "paciasp",
		0xd50323bf: "autiasp",
		0xd503237f: "pacibsp",
		0xd503245f: "bti c",
		0xd50324df: "bti jc",
		0xd503257f: "hint #0x2b",
		0xd65f0bff: "retaa",
		0xd65f0fff: "retab",
		0xd71f0822: "braa x1, x2",
		0xd73f0c3f: "blrab x1, sp",
		0xd61f083f: "braaz x1",
		0xd63f0c3f: "blrabz x1",
		0xdac10020: "pacia x0, x1",
		0xdac113e0: "autia x0, sp",
		0xdac123e0: "paciza x0",
		0xdac143e0: "xpaci x0",
		0x88e07c41: "casa w0, w1, [x2]",
		0x08a0fc41: "caslb w0, w1, [x2]",
		0xf8e00041: "ldaddal x0, x1, [x2]",
		0xb820005f: "stadd w0, [x2]",
		0xb8208041: "swp w0, w1, [x2]",
		0xb8bfc041: "ldapr w1, [x2]",
		0xd4200000: "brk #0x0",
		0xb9401000: "ldr w0, [x0, #16]",
		0x94000010: "bl 0x400040",
		0x90000021: "adrp x1, 0x404000",
	} {
		ins, ok := disassemble(binary.LittleEndian.AppendUint32(nil, in), 0x400000, nil)
		if !ok || ins.Text != want || ins.Size != 4 {
			t.Errorf("%08x: %+v, %v; want %s", in, ins, ok, want)
		}
	}
	if _, ok := disassemble([]byte{0, 0, 0}, 0, nil); ok {
		t.Error("three bytes are an instruction")
	}
}

func FuzzDisassemble(f *testing.F) {
	f.Add(uint32(0xd503233f), uint64(0x400000))
	f.Add(uint32(0x90000021), ^uint64(0))
	f.Fuzz(func(t *testing.T, in uint32, pc uint64) {
		ins, ok := disassemble(binary.LittleEndian.AppendUint32(nil, in), pc, nil)
		if ok != (ins.Text != "") || strings.ContainsFunc(ins.Text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%08x: %q, %v", in, ins.Text, ok)
		}
	})
}

// normal takes away what the two write in different ways.
func normal(s string) string {
	s, _, _ = strings.Cut(s, "//")
	s, _, symbol := strings.Cut(s, " <")
	s = strings.Join(strings.Fields(s), " ")
	if symbol { // its address is in hexadecimal, without saying so
		at := strings.LastIndexByte(s, ' ')
		s = s[:at+1] + "0x" + s[at+1:]
	}
	return s
}
