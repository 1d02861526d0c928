package arm64

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/gatedso/bt/internal/arch/follow"
	"github.com/gatedso/bt/internal/testenv"
)

// reads are the instructions whose first operand is not written, where it is a
// register: by the start of their name.
var reads = []string{"ST", "B", "CB", "TB", "RET", "CMP", "CMN", "TST", "CCM", "PRF", "MSR", "SYS", "DC", "IC", "AT", "TLBI", "FMOV", "SCVTF", "UCVTF", "DUP", "INS", "MOV "}

// TestDecode compares what an instruction writes, and where it leads, with
// golang.org/x/arch on the code of libraries.
func TestDecode(t *testing.T) {
	const libs = "/usr/aarch64-linux-gnu/lib/"
	compared := 0
	for _, name := range []string{"libc.so.6", "libm.so.6", "libgcc_s.so.1"} {
		f, err := elf.Open(libs + name)
		if err != nil {
			testenv.Skip(t, "no arm64 libraries: apt-get install libc6-arm64-cross libgcc-s1-arm64-cross")
		}
		defer f.Close()
		text := f.Section(".text")
		code, err := text.Data()
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for off := 0; off+4 <= len(code) && failed < 20; off += 4 * 7 {
			want, err := arm64asm.Decode(code[off:])
			if err != nil || want.Op == 0 {
				continue
			}
			var in inst
			decode(code[off:], &in)
			compared++
			if what := differs(want, &in); what != "" {
				failed++
				t.Errorf("%x: %08x %v: %s: %+v", text.Addr+uint64(off), binary.LittleEndian.Uint32(code[off:]), want, what, in)
			}
		}
	}
	if compared < 10000 {
		t.Errorf("only %d instructions were compared", compared)
	}
}

// number returns the number of a general register, and whether a is one.
func number(a arm64asm.Arg) (uint8, bool) {
	var r arm64asm.Reg
	switch v := a.(type) {
	case arm64asm.Reg:
		if r = v; r == arm64asm.WZR || r == arm64asm.XZR {
			return 0, false
		}
	case arm64asm.RegSP: // 31 is the stack pointer
		r = arm64asm.Reg(v)
	default:
		return 0, false
	}
	switch {
	case r >= arm64asm.W0 && r <= arm64asm.WZR:
		return uint8(r - arm64asm.W0), true
	case r >= arm64asm.X0 && r <= arm64asm.XZR:
		return uint8(r - arm64asm.X0), true
	}
	return 0, false
}

// differs says how in is not what x/arch takes it for.
func differs(want arm64asm.Inst, in *inst) string {
	name := want.Op.String()
	wants := follow.Next
	switch name {
	case "B":
		wants = follow.Jump
		if _, conditional := want.Args[0].(arm64asm.Cond); conditional {
			wants = follow.Branch
		}
	case "CBZ", "CBNZ", "TBZ", "TBNZ":
		wants = follow.Branch
	case "BL", "BLR":
		wants = follow.Call
	case "RET":
		wants = follow.Return
	case "BR":
		wants = follow.Indirect
	case "BRK", "HLT":
		wants = follow.Stop
	}
	if in.flow != wants {
		return "flow"
	}
	for i, a := range want.Args {
		if rel, ok := a.(arm64asm.PCRel); ok && (wants == follow.Jump || wants == follow.Branch) && int64(rel) != in.displacement {
			return "displacement"
		}
		if mem, ok := a.(arm64asm.MemImmediate); ok && mem.Mode != arm64asm.AddrOffset {
			if r, ok := number(mem.Base); ok && in.writes>>r&1 == 0 {
				return "writes its base"
			}
		}
		r, ok := number(a)
		written := i == 0 || i == 1 && (name == "LDP" || name == "LDPSW" || name == "LDAXP" || name == "LDXP")
		if ok && written && in.writes>>r&1 == 0 && !slices.ContainsFunc(reads, func(s string) bool { return strings.HasPrefix(name+" ", s) }) {
			return "a register that it writes"
		}
	}
	return ""
}

// TestBitmask holds the constants that logical immediates make to those of x/arch.
func TestBitmask(t *testing.T) {
	for n := range uint32(1 << 13) {
		w := 0xb20003e0 | n<<10 // orr x0, xzr, #…
		in, err := arm64asm.Decode(words(w))
		got, ok := bitmask(w)
		if err != nil {
			if ok {
				t.Fatalf("%08x: %#x, but it is no instruction", w, got)
			}
			continue
		}
		want := uint64(0)
		for _, a := range in.Args {
			switch v := a.(type) {
			case arm64asm.Imm64:
				want = v.Imm
			case arm64asm.Imm:
				want = uint64(v.Imm)
			}
		}
		if want == 1<<64-1 && !ok {
			continue // reserved; x/arch does not mind
		}
		if !ok || got != want {
			t.Fatalf("%08x %v: %#x, want %#x", w, in, got, want)
		}
	}
}
