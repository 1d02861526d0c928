package kallsyms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/testenv"
)

// list has what a kernel's list can have, in the order in which it has it:
// per-cpu variables first, modules not sorted, BPF programs last.
const list = `0000000000000000 A fixed_percpu_data
0000000000001000 A cpu_debug_store
0000000000000000 w unresolved
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 T __irqentry_text_start
ffffffff81000040 T common_interrupt
ffffffff81000100 t __se_sys_read
ffffffff81000100 T __x64_sys_read
ffffffff81000100 W sys_weak
ffffffff81000200 t $x
ffffffff81000210 t .Llabel
ffffffff81000300 W abort
ffffffff81000310 t short
ffffffff81000310 t longer
ffffffff81000310 t __internal
ffffffff81000400 T with_data_behind
ffffffff81000480 d jump_table
ffffffff81000490 t behind_data
ffffffff81000500 D same_place
ffffffff81000500 t function_at_same_place
ffffffff81000600 T last
ffffffff81000700 T _etext
ffffffff82000000 D data
ffffffff83000000 T init_function
ffffffff83000100 T _einittext
ffffffffc0201000 t second	[m_one]
ffffffffc0200000 t first	[m_one]
ffffffffc0300000 T far_last	[m-two]
ffffffffc0480000 t bpf_prog_6deef7357e7b4530	[bpf]
ffffffffc0490000 t bpf_prog_6deef7357e7b4531_name	[bpf]
`

func table(t testing.TB, text string) *Table {
	t.Helper()
	tab, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestLookup(t *testing.T) {
	tab := table(t, list)
	for _, tt := range []struct {
		addr uint64
		want string
	}{
		{0, ""},
		{0x1000, ""},
		{0xffffffff80ffffff, ""},
		{0xffffffff81000000, "startup_64+0x0"},
		{0xffffffff8100003f, "startup_64+0x3f"},
		{0xffffffff81000040, "common_interrupt+0x0"},
		{0xffffffff81000100, "__x64_sys_read+0x0"}, // global before weak and local
		{0xffffffff81000210, "__x64_sys_read+0x110"},
		{0xffffffff81000300, "abort+0x0"},
		{0xffffffff81000310, "short+0x0"},
		{0xffffffff8100047f, "with_data_behind+0x7f"},
		{0xffffffff81000480, ""},
		{0xffffffff81000490, "behind_data+0x0"},
		{0xffffffff81000500, "function_at_same_place+0x0"},
		{0xffffffff810006ff, "last+0xff"},
		{0xffffffff81000700, ""},
		{0xffffffff82000000, ""},
		{0xffffffff83000000, "init_function+0x0"},
		{0xffffffff83000100, ""},
		{0xffffffffc0200fff, "first+0xfff [m_one]"},
		{0xffffffffc0201000, "second+0x0 [m_one]"},
		{0xffffffffc0300004, "far_last+0x4 [m-two]"},
		{0xffffffffc0400000, ""}, // too far
		{0xffffffffc0480010, "bpf_prog_6deef7357e7b4530+0x10 [bpf]"},
		{0xffffffffc058ffff, "bpf_prog_6deef7357e7b4531_name+0xfffff [bpf]"},
		{0xffffffffc0590000, ""},
		{0xffffffffff600000, ""},
		{^uint64(0), ""},
	} {
		got := ""
		if s, ok := tab.Lookup(tt.addr); ok {
			got = fmt.Sprintf("%s+%#x", s.Name, tt.addr-s.Start)
			if s.Module != "" {
				got += " [" + s.Module + "]"
			}
		}
		if got != tt.want {
			t.Errorf("%#x: %q, want %q", tt.addr, got, tt.want)
		}
	}
	if n := tab.Len(); n != 15 {
		t.Errorf("%d functions", n)
	}
}

func TestMarker(t *testing.T) {
	for name, want := range map[string]bool{
		"_etext": true, "__sched_text_end": true, "__entry_text_start": true, "__pi__text": true,
		"skb_find_text": false, "x_text_end": false, "__start_tty": false, "entry_SYSRETQ_end": false,
	} {
		if got := marker([]byte(name)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	long := strings.Repeat("x", 300<<10)
	for _, tt := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"empty", strings.NewReader(""), ErrEmpty},
		{"hidden", strings.NewReader("0000000000000000 T _text\n0000000000000000 t f\t[m]\n"), ErrHidden},
		{"only data", strings.NewReader("ffffffff81000000 D x\n"), ErrEmpty},
		{"32 bits", strings.NewReader("c1000000 T startup_32\n00000000 A zero\n"), ErrEmpty},
		{"no list", strings.NewReader("7f0000000000-7f0000001000 r-xp 00000000 00:00 0\n\n\x00\n T\n1 T \nffffffff810000000 T long"), ErrEmpty},
		{"long line", strings.NewReader("ffffffff81000000 T " + long + "\nffffffff82000000 D x"), ErrEmpty},
		{"read error", io.MultiReader(strings.NewReader(list), iotest.ErrReader(broken)), broken},
	} {
		tab, err := Parse(tt.r)
		if !errors.Is(err, tt.want) || tab != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	path := filepath.Join(dir, "kallsyms")
	os.WriteFile(path, []byte("0000000000000000 T _text\n"), 0o600)
	if _, err := Open(dir); !errors.Is(err, ErrHidden) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	os.WriteFile(path, []byte(list), 0o600)
	if tab, err := Open(dir); err != nil || tab.Len() != 15 {
		t.Error(tab, err)
	}
}

// What follows a line that is no line is still read.
func TestSkipped(t *testing.T) {
	for _, junk := range []string{"x", strings.Repeat("y", 200<<10), "ffffffff81000000 T a\tb", "ffffffff81000000 T a\x00b", "ffffffff81000000  T a"} {
		tab := table(t, junk+"\nffffffff82000000 T f")
		if s, ok := tab.Lookup(0xffffffff82000001); !ok || s.Name != "f" || tab.Len() != 1 {
			t.Errorf("%.20q: %v", junk, s)
		}
	}
}

func TestTooManyModules(t *testing.T) {
	var b strings.Builder
	for i := range 70000 {
		fmt.Fprintf(&b, "%x T f\t[m%d]\n", 0xffffffffc0000000+uint64(i)*16, i)
	}
	tab := table(t, b.String())
	if s, _ := tab.Lookup(0xffffffffc0000010); s.Module != "m1" {
		t.Error(s)
	}
	if s, ok := tab.Lookup(0xffffffffc0000000 + 69999*16); !ok || s.Module != "" {
		t.Error(s)
	}
}

func TestTooLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 256 MiB")
	}
	if _, err := Parse(zeros{}); err != errTooLarge {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestIsKernel(t *testing.T) {
	for addr, want := range map[uint64]bool{
		0: false, 0x7fffffffffff: false, 0xffff800000000000: true, 0xffffffff81000000: true,
		arch.VsyscallStart - 1: true, arch.VsyscallStart: false, arch.VsyscallEnd - 1: false, arch.VsyscallEnd: true, ^uint64(0): true,
	} {
		if IsKernel(addr) != want {
			t.Errorf("%#x: not %v", addr, want)
		}
	}
}

// real returns the running kernel's list.
func real(t testing.TB) []byte {
	b, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		testenv.Skip(t, "%v", err)
	}
	if _, err := Parse(bytes.NewReader(b)); errors.Is(err, ErrHidden) {
		testenv.Skip(t, "%v", err)
	}
	return b
}

// TestReal compares every symbol of the running kernel with the list, read in
// another way.
func TestReal(t *testing.T) {
	b := real(t)
	tab, err := Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[uint64][]string)
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Fields(l)
		if len(f) < 3 || !strings.Contains("TtWw", f[1]) || strings.HasPrefix(f[2], "$") {
			continue
		}
		var addr uint64
		fmt.Sscanf(f[0], "%x", &addr)
		if IsKernel(addr) && !marker([]byte(f[2])) {
			names[addr] = append(names[addr], f[2])
		}
	}
	if tab.Len() != len(names) {
		t.Errorf("%d functions, want %d", tab.Len(), len(names))
	}
	for addr, n := range names {
		s, ok := tab.Lookup(addr)
		if !ok || s.Start != addr || !slices.Contains(n, s.Name) {
			t.Errorf("%#x: %v, want one of %q", addr, s, n)
		}
	}
}

func TestAllocs(t *testing.T) {
	tab := table(t, list)
	if n := testing.AllocsPerRun(100, func() { tab.Lookup(0xffffffffc0200fff) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(list), uint64(0xffffffff81000100))
	f.Add([]byte("0000000000000000 T _text\n"), uint64(0))
	f.Add([]byte("ffffffffffffffff T \xff\t[]\nffffffffffffffff T x\t[\n"), ^uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		tab, err := Parse(bytes.NewReader(b))
		if err != nil {
			return
		}
		if tab.Len() == 0 || len(tab.entries) > bytes.Count(b, newline)+1 {
			t.Fatal("not a table")
		}
		addrs := []uint64{addr}
		for i, e := range tab.entries {
			if i > 0 && tab.entries[i-1].start >= e.start {
				t.Fatal("not sorted")
			}
			addrs = append(addrs, e.start)
		}
		for _, a := range addrs {
			if s, ok := tab.Lookup(a); ok && (s.Name == "" || s.Start > a || a-s.Start >= maxReach || !bytes.Contains(b, []byte(s.Name))) {
				t.Fatalf("%#x: %+v", a, s)
			}
		}
	})
}

// kernelSized makes a list as long as a distribution's kernel has.
func kernelSized() []byte {
	var b bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&b, "%x %c function_number_%d_of_it\n", 0xffffffff81000000+uint64(i)*64, "tTdtW"[i%5], i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&b, "%x t module_function_%d\t[module%d]\n", 0xffffffffc1000000-uint64(i)*64, i, i/100)
	}
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	text := kernelSized()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := table(b, string(kernelSized()))
	addr := uint64(1)
	for b.Loop() {
		addr = addr*6364136223846793005 + 1442695040888963407
		tab.Lookup(0xffffffff81000000 + addr>>32%(200_000*64))
	}
}
