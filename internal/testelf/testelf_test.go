package testelf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

func sample(class elf.Class, order ByteOrder, machine elf.Machine, hash Hash) File {
	return File{
		Class: class, Order: order, Machine: machine, Base: 0x10000, Entry: 0x11000,
		Sections: []Section{
			{Name: ".text", Flags: TextFlags, Addr: 0x11000, Data: make([]byte, 0x40)},
			{Name: ".eh_frame_hdr", Flags: elf.SHF_ALLOC, Addr: 0x11040, Data: []byte{1, 0xff, 0xff, 0xff}},
		},
		Symbols: []Symbol{
			{Name: "local", Value: 0x11000, Size: 4, Type: elf.STT_FUNC, Section: ".text"},
			{Name: "global", Value: 0x11010, Size: 8, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"},
		},
		DynSyms: []Symbol{
			{Name: "global", Value: 0x11010, Size: 8, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"},
			{Name: "undef", Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL},
		},
		Hash:    hash,
		BuildID: []byte("0123456789"),
	}
}

func TestReadByDebugElf(t *testing.T) {
	for _, tc := range []struct {
		class   elf.Class
		order   ByteOrder
		machine elf.Machine
	}{
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_X86_64},
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_IA_64},
		{elf.ELFCLASS64, binary.BigEndian, elf.EM_S390},
		{elf.ELFCLASS32, binary.LittleEndian, elf.EM_386},
		{elf.ELFCLASS32, binary.BigEndian, elf.EM_PPC},
	} {
		b := sample(tc.class, tc.order, tc.machine, SysVHash).Bytes()
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%v %v: %v", tc.class, tc.machine, err)
		}
		if f.Machine != tc.machine || f.Entry != 0x11000 {
			t.Errorf("machine %v entry %#x", f.Machine, f.Entry)
		}
		syms, err := f.Symbols()
		if err != nil || len(syms) != 2 || syms[1].Name != "global" || syms[1].Value != 0x11010 || syms[1].Size != 8 {
			t.Errorf("Symbols: %v %v", syms, err)
		}
		dyn, err := f.DynamicSymbols()
		if err != nil || len(dyn) != 2 || dyn[1].Section != elf.SHN_UNDEF {
			t.Errorf("DynamicSymbols: %v %v", dyn, err)
		}
		if text := f.Section(".text"); text == nil || text.Offset != 0x1000 {
			t.Errorf(".text: %+v", text)
		}
	}
}

// TestReadelf lets readelf look for what debug/elf does not check.
func TestReadelf(t *testing.T) {
	readelf := testenv.Need(t, "readelf", "binutils")
	for _, hash := range []Hash{SysVHash, GNUHash} {
		for _, strip := range []bool{false, true} {
			f := sample(elf.ELFCLASS64, binary.LittleEndian, elf.EM_X86_64, hash)
			f.NoSectionHeaders = strip
			path := filepath.Join(t.TempDir(), "a.so")
			if err := os.WriteFile(path, f.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(readelf, "-W", "-a", "-D", "--dyn-syms", path).CombinedOutput()
			if err != nil || strings.Contains(string(out), "Warning") || strings.Contains(string(out), "Error") {
				t.Errorf("hash %d stripped %v: %v\n%s", hash, strip, err, out)
			}
			for _, want := range []string{"Build ID: 30313233343536373839", "global", "LOAD", "GNU_EH_FRAME"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("hash %d stripped %v: no %q in\n%s", hash, strip, want, out)
				}
			}
		}
	}
}
