//go:build unix

package symbolize_test

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// Addresses of one file, as its own symbols name them.
func ExampleOpenFile() {
	path, remove := program()
	defer remove()

	f, err := symbolize.OpenFile(path, symbolize.Options{Demangle: symbolize.Short})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	// The second is where a call returns to: it is named by the call.
	frames := []stack.Frame{{PC: 0x1004, Exact: true}, {PC: 0x1020}, {PC: 0x1030, Exact: true}}
	f.Frames(frames)
	for i := range frames {
		if n := frames[i].Function(); n != nil {
			fmt.Printf("%#x %s+%#x\n", frames[i].PC, n.Symbol, n.Offset)
		} else {
			fmt.Printf("%#x: %s\n", frames[i].PC, frames[i].Miss.Text())
		}
	}
	// Output:
	// 0x1004 list::sum+0x4
	// 0x1020 list::sum+0x20
	// 0x1030: no symbol covers it
}

// program writes an ELF file with one C++ function.
func program() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "bt-")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, "prog")
	file := testelf.File{
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x1000, Data: make([]byte, 64)}},
		Symbols:  []testelf.Symbol{{Name: "_ZN4list3sumEPKi", Value: 0x1000, Size: 0x20, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"}},
	}
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		panic(err)
	}
	return path, func() { os.RemoveAll(dir) }
}
