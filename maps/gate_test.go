package maps

import (
	"slices"
	"testing"
)

// An ia64 process on Linux 2.6.0-test11 with the gate_dso patch.
// The gate line follows the process's own mappings.
const ia64 = `00000000-00004000 r--p 00000000 00:00 0 
2000000000000000-2000000000030000 r-xp 00000000 08:02 96388                          /lib/ld-2.3.2.so
2000000000030000-2000000000034000 rw-p 00000000 00:00 0 
200000080012c000-2000000800394000 r-xp 00000000 08:02 96393                          /lib/tls/libc-2.3.2.so
2000000800394000-20000008003a0000 ---p 00268000 08:02 96393                  /lib/tls/libc-2.3.2.so
4000000000000000-4000000000004000 r-xp 00000000 08:03 1228833                        /home/davidm/my\040tests/bt
6000000000000000-6000000000004000 rw-p 00000000 08:03 1228833                        /home/davidm/my\040tests/bt
60000fff80000000-60000fff80004000 rw-p 00000000 00:00 0 
60000ffffffe8000-60000fffffffc000 rw-p 00000000 00:00 0 
`

// The prefix of the gate line: padded to column 25 + 6*sizeof(void *), then "%s".
const ia64Gate = "a000000000020000-a000000000040000 ---p 00000000 00:00 0                  "

func TestGateLineIA64(t *testing.T) {
	for _, path := range []string{"", "/boot/gate.so", "/boot/my gate (v2).so", `C:\gate\040.so`, "relative"} {
		m := parse(t, ia64+ia64Gate+path+"\n")
		last := &m.Entries[len(m.Entries)-1]
		if g := m.GateOf(last); g != Line {
			t.Fatalf("%q: the last line is %v", path, g)
		}
		if last.Path != path {
			t.Errorf("path %q, want %q", last.Path, path)
		}
		if last.IsFile() || last.special() {
			t.Errorf("%q: file or special", path)
		}
		if got := m.Gates(); len(got) != 1 || got[0] != last {
			t.Errorf("%q: Gates() = %v", path, got)
		}
		for _, addr := range []uint64{0xa0000000000207e0, 0xa000000000020641} {
			if m.Find(addr) != last {
				t.Errorf("%#x is not in the gate", addr)
			}
		}
		if e := m.Find(0x4000000000001210); e == nil || e.Path != "/home/davidm/my tests/bt" {
			t.Errorf("%q: program %+v", path, e)
		}
		if got := string(AppendLine(nil, last)); got != ia64Gate+path {
			t.Errorf("printed %q, want %q", got, ia64Gate+path)
		}
		copied := *last
		if m.GateOf(&copied) != Line {
			t.Error("a copy of the gate line is no gate")
		}
	}
}

func TestGateLine386(t *testing.T) {
	m := parse(t, "08048000-08049000 r-xp 00000000 03:01 5          /tmp/bt\n"+
		"ffffe000-fffff000 ---p 00000000 00:00 0          \n")
	if g := m.GateOf(&m.Entries[1]); g != Line || m.Find(0xffffe420) != &m.Entries[1] {
		t.Errorf("unnamed 32-bit gate line: %v", g)
	}
}

func TestGateOf(t *testing.T) {
	const text = "00400000-00401000 r-xp 00000000 08:01 5    /bin/x\n"
	for _, tt := range []struct {
		last string
		want Gate
	}{
		{"7fff00000000-7fff00002000 r-xp 00000000 00:00 0   [vdso]", VDSO},
		{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]", Vsyscall},
		{"ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0   [vsyscall]", Vsyscall},
		{"7fff00000000-7fff00002000 r--p 00000000 00:00 0   [vvar]", NoGate},
		{"ffffe000-fffff000 ---p 00000000 00:00 0   /boot/gate.so", Line},
		{"ffffe000-fffff000 ---p 00000000 00:00 0   [anon:guard]", NoGate},
		{"ffffe000-fffff000 ---p 00000000 00:00 0   [heap]", NoGate},
		{"ffffe000-fffff000 ---p 00000000 08:01 7   /boot/gate.so", NoGate}, // PROT_NONE, a file's
		{"ffffe000-fffff000 ---p 00001000 00:00 0   /boot/gate.so", NoGate},
		{"ffffe000-fffff000 r-xp 00000000 00:00 0   /boot/gate.so", VDSO}, // named by a file
		{"ffffe000-fffff000 r-xp 00000000 00:00 0   boot/gate.so", NoGate},
		{"ffffe000-fffff000 rwxp 00000000 00:00 0   /boot/gate.so", NoGate},
		{"ffffe000-fffff000 r-xp 00001000 00:00 0   /boot/gate.so", NoGate},
		{"ffffe000-fffff000 r-xp 00000000 00:01 0   /SYSV00000000", NoGate},
		{"ffffe000-fffff000 r-xp 00000000 00:00 1   /boot/gate.so", NoGate},
		{"ffffe000-fffff000 r-xp 00000000 00:00 0   /boot/gate.so (deleted)", NoGate},
		{"ffffe000-fffff000 ---s 00000000 00:00 0   /boot/gate.so", NoGate},
		{"7f0000000000-7f0000001000 ---p 00000000 00:00 0 ", NoGate},     // a guard page
		{"7f0000000000-7f0000001000 ---p 00000000 00:00 0       ", Line}, // padded
		{"ffffe000-fffff000 ---p 00000000 00:00 0", Line},                // padding lost
		{"a000000000020000-a000000000040000 ---p 00000000 00:00 0", Line},
	} {
		m := parse(t, text+tt.last)
		if got := m.GateOf(&m.Entries[1]); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.last, got, tt.want)
		}
		if got := len(m.Gates()) == 1; got != (tt.want != NoGate) {
			t.Errorf("%s: Gates() = %v", tt.last, m.Gates())
		}
		if m.GateOf(&m.Entries[0]) != NoGate {
			t.Error("the program is a gate")
		}
		m = parse(t, tt.last+"\n"+text)
		if got := m.GateOf(&m.Entries[0]); got == Line {
			t.Errorf("%s: a gate line that is not the last", tt.last)
		}
	}
	// Where the vDSO has its name, an unnamed last line without padding is a guard.
	m := parse(t, "f7fc0000-f7fc2000 r-xp 00000000 00:00 0   [vdso]\nffffe000-fffff000 ---p 00000000 00:00 0 \n")
	if got := m.GateOf(&m.Entries[1]); got != NoGate {
		t.Errorf("guard page beside a vDSO: %v", got)
	}
	// A gate line laid over the mapping it names yields to it.
	m = parse(t, "f7fc0000-f7fc2000 r-xp 00000000 00:00 0   [vdso]\nf7fc0000-f7fc3000 ---p 00000000 00:00 0   /boot/gate.so\n")
	if m.Find(0xf7fc1000) != &m.Entries[0] || m.Find(0xf7fc2000) != &m.Entries[1] {
		t.Error("gate line over a mapping")
	}
	if g := m.Gates(); !slices.Equal(g, []*Mapping{&m.Entries[0], &m.Entries[1]}) {
		t.Errorf("Gates() = %v", g)
	}
}
