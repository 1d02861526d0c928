//go:build linux

package waits

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/stack"
)

func TestParseLocks(t *testing.T) {
	const text = "1: FLOCK  ADVISORY  WRITE 977 08:01:12345 0 EOF\n" +
		"1: -> FLOCK  ADVISORY  WRITE 1240 08:01:12345 0 EOF\n" +
		"2: POSIX  ADVISORY  READ 5 08:01:7 0 99\n" +
		"2: POSIX  ADVISORY  WRITE 6 08:01:7 200 EOF\n" +
		"2: -> POSIX  ADVISORY  WRITE 1240 08:01:7 0 10\n" +
		"3: OFDLCK ADVISORY  WRITE -1 08:01:12345 0 EOF\n" +
		"4: FLOCK  ADVISORY  WRITE x 08:01:12345 0 EOF\n5: ->\n6:\n\n"
	list := parseLocks(text)
	if len(list) != 6 {
		t.Fatalf("%d locks: %+v", len(list), list)
	}
	pids := func(pid int, kind, file string) (out []int) {
		for _, l := range blockers(list, pid, kind, file, nil) {
			out = append(out, l.pid)
		}
		return out
	}
	for _, tt := range []struct {
		pid        int
		kind, file string
		want       []int
	}{
		{1240, "FLOCK", "08:01:12345", []int{977}},
		{1240, "POSIX", "08:01:7", []int{5, 6}},
		{1241, "FLOCK", "08:01:12345", nil},
		{1240, "OFDLCK", "08:01:12345", nil},
		{1240, "FLOCK", "08:01:7", nil},
	} {
		if got := pids(tt.pid, tt.kind, tt.file); !slices.Equal(got, tt.want) {
			t.Errorf("%d %s %s: %v, want %v", tt.pid, tt.kind, tt.file, got, tt.want)
		}
	}
}

// Who waits for a lock of an open file is told by its range alone.
func TestOpenFileLocks(t *testing.T) {
	list := parseLocks("1: OFDLCK ADVISORY  WRITE -1 08:01:7 0 EOF\n1: -> OFDLCK ADVISORY  WRITE -1 08:01:7 10 19\n" +
		"2: POSIX  ADVISORY  WRITE 5 08:01:7 30 39\n2: -> OFDLCK ADVISORY  READ -1 08:01:7 30 EOF\n")
	for _, tt := range []struct {
		wanted *lockRange
		holder int
	}{
		{&lockRange{true, 10, 19}, -1}, {&lockRange{false, 30, ^uint64(0)}, 5},
		{&lockRange{false, 10, 19}, 0}, {&lockRange{true, 10, 20}, 0}, {nil, 0},
	} {
		got := blockers(list, 1240, openFileLock, "08:01:7", tt.wanted)
		if tt.holder == 0 && len(got) != 0 || tt.holder != 0 && (len(got) != 1 || got[0].pid != tt.holder) {
			t.Errorf("%+v: %+v", tt.wanted, got)
		}
	}
}

func TestSockets(t *testing.T) {
	n := newSockets()
	n.addInet("TCP", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"+
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"+
		"   1: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n"+
		"   2: 0100007F:1F90 0200007F:C350 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n"+
		"   3: 0100007F 0200007F:C350 06 x x x x x 9 1\n")
	n.addInet("TCP", "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0 0 0 0 0 4713 1\n")
	n.addUnix("Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01 20 /run/a b\x1b.sock\n" +
		"0000000000000000: 00000003 00000000 00000000 0002 03 21\n")
	want := map[string]string{
		"4711": "TCP 127.0.0.1:8080, LISTEN",
		"4712": "TCP 127.0.0.1:8080 to 127.0.0.2:50000, ESTABLISHED",
		"4713": "TCP [::1]:22, LISTEN",
		"20":   `unix stream /run/a b\x1b.sock, LISTEN`,
		"21":   "unix datagram",
	}
	if d := cmp.Diff(want, n.about); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, tt := range []struct{ raw, want string }{
		{"\x02\x00\x00\x50\x7f\x00\x00\x01", "127.0.0.1:80"},
		{"\x0a\x00\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "[::1]:80"},
		{"\x01\x00/run/x\x00rest", "/run/x"},
		{"\x01\x00\x00abs", "@abs"},
		{"\x02\x00\x00", ""},
		{"\x01", ""},
	} {
		if got := sockaddr([]byte(tt.raw)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func TestParseProcfs(t *testing.T) {
	c, ok := parseSyscall("202 0x1 0x80 0x2 0x0 0x0 0x5 0x7ffd00 0x7f8a78\n")
	if want := (syscallLine{202, [6]uint64{1, 0x80, 2, 0, 0, 5}, 0x7ffd00, 0x7f8a78}); !ok || c != want {
		t.Errorf("%+v, %v", c, ok)
	}
	for _, text := range []string{"running\n", "-1 0x7ffd00 0x7f8a78", "-1 0 0 0 0 0 0 0 0", "1 2 3 4 5 6 7 8 x", ""} {
		if _, ok := parseSyscall(text); ok {
			t.Errorf("%q is taken for a system call", text)
		}
	}
	got := parseKernelStack("[<0>] futex_do_wait+0x46/0x90\n[<0>] fuse_get_req+0x6e/0x5f0 [fuse]\nx\n[<ffff0>] 0xffffffffc0\n")
	want := []stack.KernelFrame{{Symbol: "futex_do_wait", Offset: 0x46}, {Symbol: "fuse_get_req", Offset: 0x6e, Module: "fuse"}, {Symbol: "0xffffffffc0"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	fds := watchedFDs([]byte("pos:\t0\nflags:\t02\ntfd:       12 events:       19 data: 0\ntfd:        5 events: 1\ntfd: x\ntfd:\n"))
	if !slices.Equal(fds, []int{5, 12}) {
		t.Errorf("watched: %v", fds)
	}
	for text, want := range map[string]int{
		"xxGNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\n": 236,
		"GNU C Library (GNU libc) development release version 2.42.9000.\n":             242,
		"GNU C Library (": 0, "GNU C Library (x) version 2.x6": 0, "": 0,
	} {
		if got := releaseIn([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for op, want := range map[uint32]string{0: "FUTEX_WAIT", 128: "FUTEX_WAIT_PRIVATE", 128 | 256 | 9: "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME",
		13: "FUTEX_LOCK_PI2", 14: "0xe", ^uint32(0): "0xffffffff"} {
		if got := futexOp(op); got != want {
			t.Errorf("%d: %s, want %s", op, got, want)
		}
	}
}

func TestUnixPeer(t *testing.T) {
	order := binary.NativeEndian
	message := func(ino uint32, attributes ...byte) []byte {
		b := make([]byte, 32)
		order.PutUint32(b, uint32(32+len(attributes)))
		order.PutUint16(b[4:], sockDiagByFamily)
		order.PutUint32(b[20:], ino)
		return append(b, attributes...)
	}
	attribute := func(kind uint16, value uint32) []byte {
		return order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, 8), kind), value)
	}
	whole := message(7, append(append([]byte{5, 0, 9, 0, 1, 0, 0, 0}, attribute(unixDiagPeer, 42)...), attribute(3, 1)...)...)
	if peer, ok := parseUnixPeer(whole, 7); peer != 42 || !ok {
		t.Errorf("%d, %v", peer, ok)
	}
	if _, ok := parseUnixPeer(whole, 8); ok {
		t.Error("the answer is about another socket")
	}
	for n := range len(whole) - 8 {
		if _, ok := parseUnixPeer(whole[:n], 7); ok {
			t.Errorf("%d bytes are enough", n)
		}
	}
	if _, ok := parseUnixPeer(message(7, 0, 0, 2, 0, 1, 0, 0, 0), 7); ok {
		t.Error("an attribute without a length is read")
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"___pthread_mutex_lock":               "pthread_mutex_lock",
		"pthread_join@@GLIBC_2.34":            "pthread_join",
		"__new_sem_wait_slow64.constprop.0":   "new_sem_wait_slow",
		"__pthread_clockjoin_ex":              "pthread_clockjoin_ex",
		"_ZNSt5mutex4lockEv":                  "_ZNSt5mutex4lockEv",
		"__futex_abstimed_wait_common64.part": "futex_abstimed_wait_common",
	} {
		if got := plainName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]object{
		"_ZN3std3sys4sync5mutex5futex5Mutex14lock_contended17h0123456789abcdefE":    unownedMutex,
		"_ZN3std3sys5locks11futex_mutex5Mutex14lock_contended17h0123456789abcdefE":  unownedMutex,
		"_ZN3std3sys4sync6rwlock5futex6RwLock15write_contended17h0123456789abcdefE": unownedRWLock,
		"_ZN3std3sys4sync7condvar5futex7Condvar4wait17h0123456789abcdefE":           unownedCondition,
		"_ZN11parking_lot9raw_mutex8RawMutex9lock_slow17h0123456789abcdefE":         unownedMutex,
		"_RNvMNtNtNtNtNtCs3std3sys4sync5mutex5futexNtB2_5Mutex14lock_contended":     unownedMutex,
		"runtime.futex": noObject, "futex_wait": noObject, "my_mutex_futex": noObject,
	} {
		if got := rustLock(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	for file, want := range map[string]library{
		"/lib/x86_64-linux-gnu/libc.so.6": glibc, "/lib/libpthread-2.31.so": glibc, "/usr/lib/libc-2.31.so": glibc,
		"/lib/ld-musl-x86_64.so.1": musl, "/usr/lib/x86_64-linux-musl/libc.so": musl,
		"/usr/lib/libc++.so.1": otherLibrary, "/usr/lib/libcap.so.2": otherLibrary, "": otherLibrary,
	} {
		if got := libraryOf(file); got != want {
			t.Errorf("%s: %d, want %d", file, got, want)
		}
	}
}
