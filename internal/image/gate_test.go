package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testenv"
)

// oldGate is a gate as kernels had it whose assembler knew no 'S' augmentation:
// the rows describe the signal frame, and only the symbol tells that it is one.
const oldGate = `
	.text
	.balign 16
	.globl __kernel_rt_sigreturn, __kernel_vsyscall
	.type __kernel_rt_sigreturn, @function
	.type __kernel_vsyscall, @function
__kernel_rt_sigreturn:
	.cfi_startproc
	.cfi_def_cfa %esp, 160
	.cfi_offset %eip, -8
	nop
	mov $173, %eax
	int $0x80
	.cfi_endproc
	.size __kernel_rt_sigreturn, .-__kernel_rt_sigreturn
__kernel_vsyscall:
	.cfi_startproc
	int $0x80
	ret
	.cfi_endproc
	.size __kernel_vsyscall, .-__kernel_vsyscall
`

func TestTrampolineBySymbol(t *testing.T) {
	testenv.Need(t, "gcc", "gcc")
	dir := t.TempDir()
	src := write(t, dir, "gate.s", []byte(oldGate))
	so := filepath.Join(dir, "gate.so")
	cmd := exec.Command("gcc", "-m32", "-shared", "-nostdlib", "-Wl,-z,noseparate-code,--eh-frame-hdr,--hash-style=sysv", "-o", so, src)
	if out, err := cmd.CombinedOutput(); err != nil {
		testenv.Skip(t, "gcc -m32: %v\n%s", err, out)
	}
	data, err := os.ReadFile(so)
	if err != nil {
		t.Fatal(err)
	}
	data = padded(data, (len(data)+0xfff)&^0xfff)
	const at = 0xf7f00000
	for _, tt := range []struct {
		line   string
		signal bool
	}{
		{"[vdso]", true},
		{"/lib/other.so", false}, // not the kernel's: what it is called says nothing
	} {
		s := &source{mem: []memory{{at, data}}, files: map[string]string{"/lib/other.so": so}}
		inode, dev := 0, "00:00"
		if !tt.signal {
			inode, dev = 7, "08:01"
		}
		m := parse(t, "%x-%x r-xp 00000000 %s %d   %s\n", at, at+len(data), dev, inode, tt.line)
		space := image.NewSpace(m, s, new(image.Cache))
		im, err := space.Modules()[0].Image()
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for off := range len(data) {
			row, _ := space.Row(at+uint64(off), true)
			sym, ok := im.Lookup(uint64(off))
			if row == nil || !ok {
				continue
			}
			rows++
			if want := tt.signal && sym.Name == "__kernel_rt_sigreturn"; row.Signal != want {
				t.Errorf("%s: %s+%x: signal frame %v, want %v", tt.line, sym.Name, uint64(off)-sym.Value, row.Signal, want)
			}
		}
		if rows != 11 {
			t.Errorf("%s: %d bytes have a row, want 11", tt.line, rows)
		}
	}
}
