package maps_test

import (
	"fmt"

	"github.com/gatedso/bt/maps"
)

// What lies at an address, and which entries are the gate DSO.
func Example() {
	m, err := maps.Parse([]byte(`55d0c0000000-55d0c0001000 r-xp 00001000 08:01 4711 /usr/bin/prog
7f12a0000000-7f12a0160000 r-xp 00026000 08:01 4712 /usr/lib/libc.so.6 (deleted)
7ffd31000000-7ffd31021000 rw-p 00000000 00:00 0 [stack]
7ffd31100000-7ffd31102000 r-xp 00000000 00:00 0 [vdso]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	e := m.Find(0x7f12a0000010)
	fmt.Println(e.Perm, e.Path, "deleted:", e.Deleted)
	fmt.Printf("at %#x in the file\n", 0x7f12a0000010-e.Start+e.Offset)
	for _, e := range m.Gates() {
		fmt.Println(m.GateOf(e), "at", fmt.Sprintf("%#x", e.Start))
	}
	// Output:
	// r-xp /usr/lib/libc.so.6 deleted: true
	// at 0x26010 in the file
	// vdso at 0x7ffd31100000
}
