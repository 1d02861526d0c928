package fault

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/arm64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/maps"
)

const testMaps = `00400000-00401000 r--p 00000000 08:01 5    /bin/x
00401000-00402000 r-xp 00001000 08:01 5    /bin/x
00402000-00403000 rw-p 00002000 08:01 5    /bin/x
00403000-00404000 rw-s 00000000 08:01 6    /tmp/short
7f0000000000-7f0000001000 ---p 00000000 00:00 0
7f0000001000-7f0000801000 rw-p 00000000 00:00 0
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0    [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]
`

func parse(t testing.TB, text string) *maps.Map {
	t.Helper()
	m, err := maps.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// info64 is a siginfo_t of a 64-bit process with a word in its union.
func info64(signo, code int32, word uint64) []byte {
	b := make([]byte, 128)
	binary.LittleEndian.PutUint32(b, uint32(signo))
	binary.LittleEndian.PutUint32(b[8:], uint32(code))
	binary.LittleEndian.PutUint64(b[16:], word)
	return b
}

func TestHints(t *testing.T) {
	const pc, sp = 0x401100, 0x7ffffffdf000
	movRAX := []byte{0x8b, 0x00}       // mov (%rax),%eax
	movaps := []byte{0x0f, 0x29, 0x00} // movaps %xmm0,(%rax)
	vmovdqa := "\xc5\xfd\x6f\x00"      // vmovdqa (%rax),%ymm0
	fsLoad := "\x64\x48\x8b\x00"       // mov %fs:(%rax),%rax
	push := []byte{0x50}               // push %rax
	for name, tt := range map[string]struct {
		signo, code int32
		addr        uint64
		regs        map[arch.Reg]uint64
		insn        []byte
		want        []Hint
		wantAddr    uint64 // 0: addr
		mapped      string
	}{
		"null":              {signo: 11, code: 1, addr: 0, insn: movRAX, want: []Hint{NullPointer}},
		"member of null":    {signo: 11, code: 1, addr: 0x10, insn: movRAX, want: []Hint{NullPointer}},
		"call null":         {signo: 11, code: 1, addr: 0, regs: map[arch.Reg]uint64{amd64.RIP: 0}, want: []Hint{NullCall}},
		"call near null":    {signo: 11, code: 1, addr: 8, regs: map[arch.Reg]uint64{amd64.RIP: 8}, want: []Hint{NullPointer, BadJump}},
		"call unmapped":     {signo: 11, code: 1, addr: 0x500000, regs: map[arch.Reg]uint64{amd64.RIP: 0x500000}, want: []Hint{BadJump}},
		"call data":         {signo: 11, code: 2, addr: 0x402010, regs: map[arch.Reg]uint64{amd64.RIP: 0x402010}, want: []Hint{BadJump}, mapped: "/bin/x"},
		"write to constant": {signo: 11, code: 2, addr: 0x400010, insn: movRAX, want: []Hint{WriteRefused}, mapped: "/bin/x"},
		"write to code":     {signo: 11, code: 2, addr: 0x401010, insn: movRAX, want: []Hint{WriteRefused}, mapped: "/bin/x"},
		"unmapped":          {signo: 11, code: 1, addr: 0x500000, insn: movRAX},
		"kernel":            {signo: 11, code: 1, addr: 0xffff888000000000, insn: movRAX, want: []Hint{KernelAddress}},
		"main stack":        {signo: 11, code: 1, addr: 0x7ffffffddff8, regs: map[arch.Reg]uint64{amd64.RSP: 0x7ffffffde000}, insn: push, want: []Hint{StackOverflow}},
		"big frame":         {signo: 11, code: 1, addr: 0x7fffffe00000, regs: map[arch.Reg]uint64{amd64.RSP: 0x7fffffdff000}, insn: push, want: []Hint{StackOverflow}},
		"far below stack":   {signo: 11, code: 1, addr: 0x7fff00000000, insn: movRAX},
		"guard":             {signo: 11, code: 2, addr: 0x7f0000000ff8, regs: map[arch.Reg]uint64{amd64.RSP: 0x7f0000001000}, insn: push, want: []Hint{StackOverflow}, mapped: ""},
		"other's guard":     {signo: 11, code: 2, addr: 0x7f0000000ff8, insn: push},
		"not canonical":     {signo: 11, code: siKernel, regs: map[arch.Reg]uint64{amd64.RAX: 0xdeadbeefdeadbeef}, insn: movRAX, want: []Hint{NotCanonical}, wantAddr: 0xdeadbeefdeadbeef},
		"misaligned":        {signo: 11, code: siKernel, regs: map[arch.Reg]uint64{amd64.RAX: 0x402008}, insn: movaps, want: []Hint{Misaligned}, wantAddr: 0x402008, mapped: "/bin/x"},
		"misaligned VEX":    {signo: 11, code: siKernel, regs: map[arch.Reg]uint64{amd64.RAX: 0x402010}, insn: []byte(vmovdqa), want: []Hint{Misaligned}, wantAddr: 0x402010, mapped: "/bin/x"},
		"protection":        {signo: 11, code: siKernel, insn: []byte{0xf4}, want: []Hint{Protection}},
		"fs not canonical":  {signo: 11, code: siKernel, regs: map[arch.Reg]uint64{amd64.RAX: 0xdeadbeefdeadbeef}, insn: []byte(fsLoad), want: []Hint{Protection}},
		"past the end":      {signo: 7, code: 2, addr: 0x403800, insn: movRAX, want: []Hint{PastEOF}, mapped: "/tmp/short"},
		"alignment check":   {signo: 7, code: 1, addr: 0, insn: movRAX, want: []Hint{Misaligned}},
		"division":          {signo: 8, code: 1, addr: pc, insn: []byte{0xf7, 0xf1}, mapped: "/bin/x"},
		"raised":            {signo: 11, code: siTkill, addr: 42, insn: movRAX},
	} {
		t.Run(name, func(t *testing.T) {
			var regs arch.Regs
			regs.Set(amd64.RIP, pc)
			regs.Set(amd64.RSP, sp)
			for r, v := range tt.regs {
				regs.Set(r, v)
			}
			info, ok := ParseSiginfo(info64(tt.signo, tt.code, tt.addr), binary.LittleEndian, 8)
			if !ok {
				t.Fatal("siginfo refused")
			}
			d := Death{PID: 42, Signo: info.Signo, Info: &info, Arch: amd64.Arch, Regs: &regs, Maps: parse(t, testMaps),
				Code: tt.insn, CodeAddr: pc}
			c := Explain(d)
			if !slices.Equal(c.Hints, tt.want) {
				t.Errorf("hints %v, want %v", c.Hints, tt.want)
			}
			want := tt.addr
			if tt.wantAddr != 0 {
				want = tt.wantAddr
			}
			if hasAddr := tt.code > 0 && tt.code < siKernel || tt.wantAddr != 0; c.HasAddr != hasAddr || hasAddr && c.Addr != want {
				t.Errorf("address %x, %v; want %x", c.Addr, c.HasAddr, want)
			}
			if m := c.Place.Mapping; tt.mapped != "" && (m == nil || m.Path != tt.mapped) {
				t.Errorf("place %+v, want %s", c.Place, tt.mapped)
			}
			jumped := c.HasAddr && c.Addr == c.PC && tt.signo != 8
			if sync := tt.code > 0 && !jumped; (c.Insn.Size > 0) != sync || sync && c.InsnAddr != pc {
				t.Errorf("instruction %+v at %x", c.Insn, c.InsnAddr)
			}
			if c.Self != (tt.code == siTkill) {
				t.Errorf("self: %v", c.Self)
			}
			// Nothing but the signal is needed.
			for _, less := range []func(*Death){
				func(d *Death) { d.Maps = nil }, func(d *Death) { d.Regs = nil }, func(d *Death) { d.Arch = nil },
				func(d *Death) { d.Code = nil }, func(d *Death) { d.CodeAddr = 1 << 63 }, func(d *Death) { d.Info = nil },
				func(d *Death) { d.Arch = &arch.Arch{PtrSize: 8, PC: 3} },
			} {
				d := d
				less(&d)
				Explain(d)
			}
		})
	}
}

// A CPU that signs addresses, has landing pads, tags memory, and reports every
// address, says what the kernel tells of it.
func TestHintsSigned(t *testing.T) {
	const (
		pc      = 0x401100
		ldr     = 0xf9400000 // ldr x0, [x0]
		autiasp = 0xd50323bf
		bti     = 0xd503245f
		btype   = 2 << 10
	)
	for name, tt := range map[string]struct {
		signo, code int32
		addr, pc    uint64
		pstate      uint64
		insn        uint32
		want        []Hint
		noAddr      bool
	}{
		"null":                 {signo: 11, code: 1, addr: 16, insn: ldr, want: []Hint{NullPointer}},
		"not canonical":        {signo: 11, code: 1, addr: 0xffadbeefdeadbeef, insn: ldr, want: []Hint{NotCanonical}},
		"kernel":               {signo: 11, code: 1, addr: 0xffff800000001000, insn: ldr, want: []Hint{KernelAddress}},
		"sent by the kernel":   {signo: 11, code: siKernel, insn: ldr},
		"tag":                  {signo: 11, code: segvMTESERR, addr: 0x402010, insn: ldr, want: []Hint{Tagged}},
		"tag in the address":   {signo: 11, code: segvMTESERR, addr: 0x600000000402010, insn: ldr, want: []Hint{Tagged}},
		"tag of a null page":   {signo: 11, code: segvMTESERR, addr: 0x10, insn: ldr, want: []Hint{Tagged}},
		"tag, told late":       {signo: 11, code: segvMTEAERR, insn: ldr, want: []Hint{TaggedEarlier}, noAddr: true},
		"return not authentic": {signo: 11, code: 1, addr: 0x20000000401100, pc: 0x20000000401100, want: []Hint{NotAuthentic, BadJump}},
		"jump to nowhere":      {signo: 11, code: 1, addr: 0x20000000500000, pc: 0x20000000500000, want: []Hint{BadJump}},
		"authentication":       {signo: 4, code: 2, addr: pc, insn: autiasp, want: []Hint{NotAuthentic}},
		"no landing pad":       {signo: 4, code: 1, addr: pc, pstate: btype, insn: ldr, want: []Hint{NoLandingPad}},
		"landing pad":          {signo: 4, code: 1, addr: pc, pstate: btype, insn: bti},
		"no branch":            {signo: 4, code: 1, addr: pc, insn: ldr},
		"undefined":            {signo: 4, code: 1, addr: pc, pstate: btype, insn: 0},
		"stack pointer":        {signo: 7, code: 1, addr: 0x7ffffffdf001, insn: ldr, want: []Hint{Misaligned}},
	} {
		t.Run(name, func(t *testing.T) {
			var regs arch.Regs
			regs.Set(arm64.PC, max(pc, tt.pc))
			regs.Set(arm64.SP, 0x7ffffffdf000)
			regs.Set(arm64.PState, tt.pstate)
			info, _ := ParseSiginfo(info64(tt.signo, tt.code, tt.addr), binary.LittleEndian, 8)
			c := Explain(Death{Signo: info.Signo, Info: &info, Arch: arm64.Arch, Regs: &regs, Maps: parse(t, testMaps),
				Code: binary.LittleEndian.AppendUint32(nil, tt.insn), CodeAddr: pc})
			if !slices.Equal(c.Hints, tt.want) || c.HasAddr == (tt.noAddr || tt.code == siKernel) {
				t.Errorf("hints %v, address %v; want %v", c.Hints, c.HasAddr, tt.want)
			}
			if m := c.Place.Mapping; tt.addr == 0x600000000402010 && (m == nil || m.Path != "/bin/x") {
				t.Errorf("place %+v", c.Place)
			}
		})
	}
}

// A breakpoint's pc lies behind it.
func TestBreakpoint(t *testing.T) {
	var regs arch.Regs
	regs.Set(i386.EIP, 0x1011)
	info := Siginfo{Signo: 5, Code: siKernel}
	c := Explain(Death{Signo: 5, Info: &info, Arch: i386.Arch, Regs: &regs, Code: []byte("\xcc\xc3"), CodeAddr: 0x1010})
	if c.Insn.Text != "int3" || c.InsnAddr != 0x1010 || len(c.Code) != 2 {
		t.Errorf("%+v", c)
	}
}

func TestNeighbours(t *testing.T) {
	m := parse(t, testMaps)
	p := locate(m, 0x404010)
	if p.Mapping != nil || p.Below == nil || p.Below.Path != "/tmp/short" || p.Above == nil || p.Above.Start != 0x7f0000000000 {
		t.Errorf("%+v", p)
	}
	if p := locate(m, 0); p.Below != nil || p.Above == nil || p.Above.Start != 0x400000 {
		t.Errorf("at 0: %+v", p)
	}
	if p := locate(m, ^uint64(0)); p.Above != nil || p.Below == nil {
		t.Errorf("at the top: %+v", p)
	}
}

func TestParseSiginfo(t *testing.T) {
	for _, tt := range []struct {
		b    []byte
		want Siginfo
		name string
	}{
		{info64(11, 1, 0x1234567890), Siginfo{Signo: 11, Code: 1, Addr: 0x1234567890, HasAddr: true}, "SEGV_MAPERR"},
		{info64(11, 99, 0x12), Siginfo{Signo: 11, Code: 99, Addr: 0x12, HasAddr: true}, "si_code 99"},
		{info64(6, -6, 7<<32|5), Siginfo{Signo: 6, Code: -6, Sender: 5, UID: 7, HasSender: true}, "SI_TKILL"},
		{info64(11, 0, 7<<32|5), Siginfo{Signo: 11, Sender: 5, UID: 7, HasSender: true}, "SI_USER"},
		{info64(14, siKernel, 5), Siginfo{Signo: 14, Code: siKernel}, "SI_KERNEL"},
		{info64(14, -2, 5), Siginfo{Signo: 14, Code: -2}, "SI_TIMER"},
		{info64(31, 1, 5), Siginfo{Signo: 31, Code: 1, Addr: 5, HasAddr: true, HasSyscall: true}, "SYS_SECCOMP"},
		{info64(7, 2, 5)[:12], Siginfo{Signo: 7, Code: 2}, "BUS_ADRERR"},
	} {
		got, ok := ParseSiginfo(tt.b, binary.LittleEndian, 8)
		if !ok || got != tt.want || got.Name() != tt.name {
			t.Errorf("%+v %v %s, want %+v %s", got, ok, got.Name(), tt.want, tt.name)
		}
	}
	big := make([]byte, 24)
	for i, v := range []uint32{8, 0, 1, 0xfeed} {
		binary.BigEndian.PutUint32(big[4*i:], v)
	}
	if got, _ := ParseSiginfo(big, binary.BigEndian, 4); got.Addr != 0xfeed || got.Name() != "FPE_INTDIV" {
		t.Errorf("32-bit big-endian: %+v", got)
	}
	if _, ok := ParseSiginfo(big[:11], binary.BigEndian, 4); ok {
		t.Error("11 bytes are no siginfo")
	}
}

func TestReadCode(t *testing.T) {
	// Memory from lo to hi.
	memory := func(lo, hi uint64) func(uint64, []byte) (int, error) {
		return func(addr uint64, b []byte) (int, error) {
			n := 0
			for ; n < len(b) && addr+uint64(n) >= lo && addr+uint64(n) < hi; n++ {
				b[n] = byte(addr + uint64(n))
			}
			if n < len(b) {
				return n, errors.New("no memory")
			}
			return n, nil
		}
	}
	for _, tt := range []struct{ lo, hi, pc, start, end uint64 }{
		{0x1000, 0x3000, 0x2000, 0x2000 - beforePC, 0x2000 + afterPC},
		{0x1000, 0x3000, 0x1004, 0x1000, 0x1004 + afterPC},
		{0x1000, 0x3000, 0x1000, 0x1000, 0x1000 + afterPC},
		{0x1000, 0x3000, 0x2ffe, 0x2ffe - beforePC, 0x3000},
		{0x1000, 0x3000, 0, 0, 0},
		{0x1000, 0x3000, 5, 5, 5},
		{0x1000, 0x3000, ^uint64(0), ^uint64(0), ^uint64(0)},
	} {
		code, start := ReadCode(memory(tt.lo, tt.hi), tt.pc)
		if start != tt.start || start+uint64(len(code)) != tt.end {
			t.Errorf("pc %x: %x, %d bytes; want %x to %x", tt.pc, start, len(code), tt.start, tt.end)
		}
		for i, b := range code {
			if b != byte(start+uint64(i)) {
				t.Fatalf("pc %x: byte %d is %x", tt.pc, i, b)
			}
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add(info64(11, 1, 0x10), []byte("\x8b\x00"), uint64(0x401100), uint64(0x7ffffffdf000), uint64(0x401100), []byte(testMaps))
	f.Add(info64(5, siKernel, 0), []byte("\xcc"), uint64(0), uint64(0), ^uint64(0), []byte(testMaps))
	f.Fuzz(func(t *testing.T, siginfo, code []byte, pc, sp, codeAddr uint64, text []byte) {
		info, ok := ParseSiginfo(siginfo, binary.LittleEndian, 8)
		if !ok {
			return
		}
		var regs arch.Regs
		for r := range arch.Reg(arch.MaxRegs) {
			regs.Set(r, sp*uint64(r+1))
		}
		regs.Set(amd64.RIP, pc)
		regs.Set(amd64.RSP, sp)
		d := Death{Signo: info.Signo, Info: &info, Arch: amd64.Arch, Regs: &regs, Code: code, CodeAddr: codeAddr}
		if m, err := maps.Parse(text); err == nil {
			d.Maps = m
		}
		c := Explain(d)
		if c.Code != nil && c.InsnAddr-c.CodeAddr >= uint64(len(c.Code)) {
			t.Fatalf("instruction at %x, code from %x, %d bytes", c.InsnAddr, c.CodeAddr, len(c.Code))
		}
		info.Name()
		for _, h := range c.Hints {
			if h.String() == "" {
				t.Fatalf("hint %d has no text", h)
			}
		}
	})
}
