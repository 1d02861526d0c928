package maps

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLine(t *testing.T) {
	dev := MakeDev(0xfe, 0)
	for _, tt := range []struct {
		line string
		want Mapping
	}{
		{"559019416000-559019419000 r--p 00001000 fe:00 247741                     /usr/bin/sed",
			Mapping{Start: 0x559019416000, End: 0x559019419000, Perm: Read, Offset: 0x1000, Dev: dev, Inode: 247741, Path: "/usr/bin/sed"}},
		{"559019416000-559019419000 rwxs 00000000 fe:00 1                          /tmp/two  spaces and\ttab ",
			Mapping{Start: 0x559019416000, End: 0x559019419000, Perm: Read | Write | Exec | Shared, Dev: dev, Inode: 1, Path: "/tmp/two  spaces and\ttab "}},
		{`1000-2000 r-xp 00000000 fe:00 1 /tmp/a\012b`,
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Exec, Dev: dev, Inode: 1, Path: "/tmp/a\nb"}},
		{`1000-2000 r-xp 00000000 fe:00 1 /tmp/a\040\b\134`,
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Exec, Dev: dev, Inode: 1, Path: `/tmp/a\040\b\134`}},
		{"1000-2000 r-xp 00000000 fe:00 1    /tmp/x (deleted)",
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Exec, Dev: dev, Inode: 1, Path: "/tmp/x", Deleted: true}},
		{"1000-2000 r-xp 00000000 fe:00 1    /tmp/x (deleted) (deleted)",
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Exec, Dev: dev, Inode: 1, Path: "/tmp/x (deleted)", Deleted: true}},
		{"1000-2000 rw-s 00000000 00:01 1027    /memfd:x y (deleted)",
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Write | Shared, Dev: 1, Inode: 1027, Path: "/memfd:x y", Deleted: true}},
		{"1000-2000 rw-s 00000000 00:01 0    /SYSV00000000 (deleted)",
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Write | Shared, Dev: 1, Path: "/SYSV00000000", Deleted: true}},
		{"1000-2000 rw-s 00000000 00:0e 14    anon_inode:[perf_event]",
			Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Write | Shared, Dev: 14, Inode: 14, Path: "anon_inode:[perf_event]"}},
		{"1000-2000 rw-p 00000000 00:00 0 ", Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Write}},
		{"1000-2000 rw-p 00000000 00:00 0", Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Write}},
		{"1000-2000 rw-p 00000000 00:00 0    [anon: a  b]", Mapping{Start: 0x1000, End: 0x2000, Perm: Read | Write, Path: "[anon: a  b]"}},
		{"7000-8000 rw-p 00000000 00:00 0    [stack:1234]", Mapping{Start: 0x7000, End: 0x8000, Perm: Read | Write, Path: "[stack:1234]"}},
		{"f7fc0000-f7fc2000 r-xp 00000000 00:00 0          [vdso]", Mapping{Start: 0xf7fc0000, End: 0xf7fc2000, Perm: Read | Exec, Path: "[vdso]"}},
		{"FFFFE000-FFFFF000 ---p 00000000 00:00 0    ", Mapping{Start: 0xffffe000, End: 0xfffff000, Padded: true}},
		{`1000-2000 ---p 00000000 00:00 0    /boot/ga te\134.so (deleted)`, Mapping{Start: 0x1000, End: 0x2000, Path: `/boot/ga te\134.so (deleted)`}},
		{"0-ffffffffffffffff ---s ffffffffffffffff ffffffff:ffffffff 18446744073709551615 x",
			Mapping{End: ^uint64(0), Perm: Shared, Offset: ^uint64(0), Dev: ^uint64(0), Inode: ^uint64(0), Path: "x"}},
	} {
		got, err := ParseLine([]byte(tt.line))
		if err != nil {
			t.Errorf("%q: %v", tt.line, err)
		} else if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%q: -want +got\n%s", tt.line, d)
		}
		if !IsLine([]byte(tt.line)) {
			t.Errorf("IsLine(%q) = false", tt.line)
		}
		again, err := ParseLine(AppendLine(nil, &got))
		if err != nil || again != got {
			t.Errorf("%q: printed and read again: %+v, %v", tt.line, again, err)
		}
	}
}

func TestParseLineErrors(t *testing.T) {
	for _, tt := range []struct {
		line string
		want error
		is   bool // IsLine: it does not look beyond the permissions
	}{
		{"", errStart, false},
		{" 1000-2000 r-xp 0 0:0 0", errStart, false},
		{"Size:   4 kB", errStart, false},
		{"1000", errDash, false},
		{"1000 2000", errDash, false},
		{"1000-", errEnd, false},
		{"1000-2000", errPerm, false},
		{"2000-1000 r-xp 0 0:0 0", errOrder, true},
		{"1000-1000 r-xp 0 0:0 0", errOrder, true},
		{"1000-2000 r-x", errPerm, false},
		{"1000-2000 xr-p 0 0:0 0", errPerm, false},
		{"1000-2000 r-xp", errOffset, true},
		{"1000-2000 r-xpp 0 0:0 0", errOffset, false},
		{"1000-2000 r-xp 0", errDev, true},
		{"1000-2000 r-xp 0 0", errDev, true},
		{"1000-2000 r-xp 0 0:", errDev, true},
		{"1000-2000 r-xp 0 100000000:0 0", errRange, true},
		{"1000-2000 r-xp 0 0:0", errInode, true},
		{"1000-2000 r-xp 0 0:0 x", errInode, true},
		{"1000-2000 r-xp 0 0:0 18446744073709551616", errRange, true},
		{"1000-2000 r-xp 0 0:0 12x", errTail, true},
		{"10000000000000000-2 r-xp 0 0:0 0", errRange, false},
	} {
		_, err := ParseLine([]byte(tt.line))
		if err == nil || !strings.HasSuffix(err.Error(), tt.want.Error()) {
			t.Errorf("%q: error %v, want %v", tt.line, err, tt.want)
		}
		if IsLine([]byte(tt.line)) != tt.is {
			t.Errorf("IsLine(%q) = %v", tt.line, !tt.is)
		}
	}
	if _, err := Parse([]byte("1000-2000 r-xp 0 0:0 0\n\nfoo\n")); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("Parse does not say which line is at fault: %v", err)
	}
}

func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		m             Mapping
		file, special bool
	}{
		{Mapping{Path: "/bin/sh", Inode: 3}, true, false},
		{Mapping{Path: "/memfd:x", Inode: 3, Deleted: true}, true, false},
		{Mapping{Path: "/boot/gate.so"}, false, false},
		{Mapping{Path: "[heap]"}, false, true},
		{Mapping{Path: "[uprobes]"}, false, true},
		{Mapping{Path: "anon_inode:[io_uring]", Inode: 3}, false, false},
		{Mapping{}, false, false},
	} {
		if tt.m.IsFile() != tt.file || tt.m.special() != tt.special {
			t.Errorf("%q: IsFile %v, Special %v", tt.m.Path, tt.m.IsFile(), tt.m.special())
		}
	}
}

// A kernel before 2.6.12 escapes four characters in the names of files, and
// it does so after d_path has added " (deleted)".
func TestOldEscapes(t *testing.T) {
	const old = `1000-2000 r-xp 00000000 08:01 1 /a\040b\011c\012d\134e\040(deleted)` + "\n" +
		`2000-3000 r-xp 00000000 08:01 2 /a\134012` + "\n"
	m := parse(t, old)
	if e := m.Entries[0]; e.Path != "/a b\tc\nd\\e" || !e.Deleted {
		t.Errorf("old kernel: %+v", e)
	}
	if e := m.Entries[1]; e.Path != `/a\012` {
		t.Errorf("old kernel: %+v", e)
	}
	m = parse(t, old+"3000-4000 rw-p 00000000 00:00 0   [heap]\n")
	if e := m.Entries[0]; e.Path != `/a\040b\011c`+"\n"+`d\134e\040(deleted)` || e.Deleted {
		t.Errorf("new kernel: %+v", e)
	}
}

func parse(t testing.TB, s string) *Map {
	t.Helper()
	m, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every process of this machine reads and prints byte for byte.
func TestRoundTrip(t *testing.T) {
	files, _ := filepath.Glob("/proc/[0-9]*/maps")
	done := 0
	for _, name := range append(files, "/proc/self/maps") {
		want, err := os.ReadFile(name)
		if err != nil {
			continue // gone, or not ours
		}
		m, err := Parse(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []byte
		for i := range m.Entries {
			e := &m.Entries[i]
			got = append(AppendLine(got, e), '\n')
			if m.Find(e.Start) != e || m.Find(e.End-1) != e {
				t.Errorf("%s: %#x-%#x is not found", name, e.Start, e.End)
			}
			if g := m.GateOf(e); g == Line {
				t.Errorf("%s: taken for a gate line: %s", name, AppendLine(nil, e))
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs:\n%s", name, cmp.Diff(string(want), string(got)))
		}
		done++
	}
	if done == 0 {
		t.Skip("no /proc/PID/maps to read")
	}
}

func TestAppendLine(t *testing.T) {
	long := Mapping{Start: 0xffffffffff600000, End: 0xffffffffff601000, Perm: Exec, Offset: 0xffffffffff600000,
		Dev: MakeDev(0xfff, 0xfffff), Inode: 1 << 60, Path: "/x"}
	const want = "ffffffffff600000-ffffffffff601000 --xp ffffffffff600000 fff:fffff 1152921504606846976  /x"
	if got := string(AppendLine(nil, &long)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	short := AppendLine([]byte("> "), &Mapping{Start: 0x1000, End: 0x2000, Path: "/a\nb", Deleted: true})
	if want := fmt.Sprintf("> %-73s%s", "00001000-00002000 ---p 00000000 00:00 0", `/a\012b (deleted)`); string(short) != want {
		t.Errorf("got %q, want %q", short, want)
	}
}

func TestFindOverlap(t *testing.T) {
	// Hostile: nested, crossing, equal and unsorted entries.
	m := New([]Mapping{
		{Start: 100, End: 200, Perm: Read},
		{Start: 10, End: 20, Perm: Read},
		{Start: 120, End: 140, Perm: Read},
		{Start: 130, End: 220, Perm: Read},
		{Start: 120, End: 125, Perm: Read},
		{Start: 0, End: ^uint64(0), Path: "/boot/gate.so"}, // gate line
	})
	for addr := uint64(0); addr < 300; addr++ {
		var want *Mapping
		for i := range m.Entries[:5] {
			e := &m.Entries[i]
			if e.Contains(addr) && (want == nil || e.Start > want.Start || e.Start == want.Start && e.End < want.End) {
				want = e
			}
		}
		if want == nil {
			want = &m.Entries[5]
		}
		if got := m.Find(addr); got != want {
			t.Errorf("Find(%d) = %+v, want %+v", addr, got, want)
		}
	}
	if New(nil).Find(5) != nil {
		t.Error("an empty map finds something")
	}
}

func TestFindRandom(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 300 {
		entries := make([]Mapping, rnd.Intn(12))
		for i := range entries {
			start := uint64(rnd.Intn(60))
			entries[i] = Mapping{Start: start, End: start + 1 + uint64(rnd.Intn(30)), Perm: Read}
		}
		m := New(entries)
		for addr := uint64(0); addr < 100; addr++ {
			var want *Mapping
			for i := range entries {
				e := &entries[i]
				if e.Contains(addr) && (want == nil || e.Start > want.Start || e.Start == want.Start && e.End < want.End) {
					want = e
				}
			}
			got := m.Find(addr)
			if (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Fatalf("%+v: Find(%d) = %+v, want %+v", entries, addr, got, want)
			}
		}
	}
}

func TestAllocs(t *testing.T) {
	line := []byte("7fc93ec92000-7fc93ec9c000 r--p 00027000 fe:00 325835                     /usr/lib/x86_64-linux-gnu/libc.so.6\n")
	if n := testing.AllocsPerRun(20, func() { _, _ = Parse(line) }); n > 4 {
		t.Errorf("one line: %v allocations; want the path, the entries, the index and the Map", n)
	}
	few, many := bytes.Repeat(line, 10), bytes.Repeat(line, 1000)
	allocs := func(b []byte) float64 {
		return testing.AllocsPerRun(20, func() {
			if _, err := Parse(b); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := allocs(few), allocs(many); b > a+20 { // the sweep's slices double
		t.Errorf("10 lines: %v allocations, 1000 lines: %v", a, b)
	}
	m := parse(t, string(line))
	buf := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() {
		m.Find(0x7fc93ec92010)
		m.GateOf(&m.Entries[0])
		buf = AppendLine(buf[:0], &m.Entries[0])
	}); n != 0 {
		t.Errorf("looking up allocates %v times", n)
	}
	anon := []byte("7fc93ec92000-7fc93ec9c000 r--p 00027000 00:00 0 ")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseLine(anon); err != nil || !IsLine(anon) {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a line without a path allocates %v times", n)
	}
}

func sample(lines int) []byte {
	var b []byte
	for i := range lines {
		m := Mapping{Start: 0x7f0000000000 + uint64(i)<<12, Perm: Read, Dev: MakeDev(0xfe, 0), Inode: uint64(i / 5), Offset: uint64(i) << 12,
			Path: fmt.Sprintf("/usr/lib/x86_64-linux-gnu/libnumber%d.so.6", i/5)}
		m.End = m.Start + 4096
		b = append(AppendLine(b, &m), '\n')
	}
	return b
}

func BenchmarkParse(b *testing.B) {
	const lines = 1000
	text := sample(lines)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}

func BenchmarkFind(b *testing.B) {
	m := parse(b, string(sample(1000)))
	i := 0
	for b.Loop() {
		runtime.KeepAlive(m.Find(0x7f0000000000 + uint64(i*7919%1000)<<12))
		i++
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(7))
	f.Add([]byte(ia64 + ia64Gate + "/boot/gate.so\n"))
	f.Add([]byte("1-2 ---p 0 0:0 0   \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		m.Gates()
		var text []byte
		for i := range m.Entries {
			e := &m.Entries[i]
			for _, addr := range []uint64{e.Start, e.End - 1} {
				if got := m.Find(addr); got == nil || !got.Contains(addr) {
					t.Fatalf("%#x is not found", addr)
				}
			}
			text = append(AppendLine(text, e), '\n')
		}
		again, err := Parse(text)
		if err != nil || len(again.Entries) != len(m.Entries) {
			t.Fatalf("printed and read again: %v\n%s", err, text)
		}
	})
}
