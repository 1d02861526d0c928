package elfsym_test

import (
	"debug/elf"
	"fmt"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/testelf"
)

// Which symbol covers an address, as the file itself numbers them.
func Example() {
	im, err := elfsym.New(program(), "prog") // a file: elfsym.OpenPath
	if err != nil {
		fmt.Println(err)
		return
	}
	defer im.Close()
	fmt.Printf("build ID %x\n", im.BuildID())
	for _, addr := range []uint64{0x1000, 0x1018, 0x1030} {
		if s, ok := im.Lookup(addr); ok {
			fmt.Printf("%#x is %s+%#x, by %s\n", addr, s.Name, addr-s.Value, s.Table)
		} else {
			fmt.Printf("%#x belongs to no function\n", addr)
		}
	}
	// Output:
	// build ID 0123456789abcdef
	// 0x1000 is main+0x0, by .symtab
	// 0x1018 is main+0x18, by .symtab
	// 0x1030 belongs to no function
}

// program is an ELF file with one function.
func program() []byte {
	return testelf.File{
		BuildID:  []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x1000, Data: make([]byte, 64)}},
		Symbols:  []testelf.Symbol{{Name: "main", Value: 0x1000, Size: 0x20, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"}},
	}.Bytes()
}
