//go:build linux

package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Places are shared out by owner: nobody but root gets the last one, and nobody
// keeps all others from working.
func TestPlaces(t *testing.T) {
	const alice, bob, carol = "uid-1000", "uid-1001", "ns-4026531900"
	for _, tt := range []struct {
		places int
		take   string // who asks, in this order: upper case where there must be a place
	}{
		{4, "AAaBb"},    // alice has half; bob's second would be the last but root's
		{4, "AARRar"},   // alice has half, root the rest
		{4, "RRRRra"},   // root may have all
		{4, "ABCabcR"},  // the last is root's
		{2, "AabR"},     // one for all others together
		{1, "Aabr"},     // one for everybody
		{8, "AAAAaBBb"}, // seven for all others
	} {
		d := private(t)
		for i, who := range tt.take {
			owner := map[rune]string{'a': alice, 'b': bob, 'c': carol, 'r': rootOwner}[who|0x20]
			p, err := d.takePlace(tt.places, owner)
			if err != nil {
				t.Fatal(err)
			}
			if want := who&0x20 == 0; (p != nil) != want {
				t.Errorf("%d places, %s: number %d: a place: %v", tt.places, tt.take, i+1, p != nil)
			}
		}
	}
}

// A place that is given back serves the next, who waits for it.
func TestPlaceWaits(t *testing.T) {
	d := private(t)
	p, err := d.place(1, "uid-1000", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.place(1, "uid-1001", time.Millisecond); !errors.Is(err, errNoPlace) || !strings.Contains(err.Error(), "1 other crashes") {
		t.Errorf("%v", err)
	}
	time.AfterFunc(50*time.Millisecond, p.release)
	if p, err = d.place(1, "uid-1001", time.Minute); err != nil || p.index != 0 {
		t.Fatal(err)
	}
	p.release()
	if names, _ := d.names(); strings.Contains(fmt.Sprint(names), waitPrefix) {
		t.Errorf("notes of those who waited are left: %q", names)
	}
}

// The waiting handlers of one owner are bounded; those that were killed do not
// count.
func TestQueue(t *testing.T) {
	d := private(t)
	const alice = "uid-1000"
	var held []*os.File
	for i := range ownWaiting {
		f, err := d.open(fmt.Sprintf("%s%s-%d", waitPrefix, alice, 1<<23+i), unix.O_RDWR|unix.O_CREAT)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	if _, err := d.queue(alice); !errors.Is(err, errQueueFull) {
		t.Errorf("one more waits: %v", err)
	}
	for _, other := range []string{"uid-100", "uid-10000", rootOwner} {
		leave, err := d.queue(other)
		if err != nil {
			t.Fatalf("%s may not wait: %v", other, err)
		}
		leave()
	}
	held[0].Close()
	leave, err := d.queue(alice)
	if err != nil {
		t.Fatal(err)
	}
	leave()
}

// A crash in a user namespace goes on the account of who has made that, whatever
// user it is in there; one in a PID namespace of root's is the container's.
func TestOwner(t *testing.T) {
	needRoot(t)
	const user = 54321
	ns := func(flags uintptr, root bool) *syscall.SysProcAttr {
		a := &syscall.SysProcAttr{Cloneflags: flags}
		if flags&syscall.CLONE_NEWUSER != 0 {
			a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 70000, Size: 1000}}
			a.GidMappings = a.UidMappings
		}
		if !root {
			a.Credential = &syscall.Credential{Uid: user, Gid: user}
		}
		return a
	}
	for _, tt := range []struct {
		name string
		args []string
		attr *syscall.SysProcAttr
		uid  int
		want string
	}{
		{"root", nil, nil, 0, rootOwner},
		{"user", nil, ns(0, false), user, fmt.Sprint("uid-", user)},
		{"container", nil, ns(syscall.CLONE_NEWPID, true), 0, "ns-"},
		{"container with users of its own", nil, ns(syscall.CLONE_NEWUSER, true), 70000, "ns-"},
		{"user namespace of a user", []string{"unshare", "-Ur", "--kill-child"}, ns(0, false), user, fmt.Sprint("uid-", user)},
		{"nested", []string{"unshare", "-Ur", "unshare", "-Ur", "--kill-child"}, ns(0, false), user, fmt.Sprint("uid-", user)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append(tt.args, "sleep", "300")
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir = "/"
			cmd.SysProcAttr = tt.attr
			if err := cmd.Start(); err != nil {
				t.Skipf("this kernel does not let us: %v", err)
			}
			defer func() { cmd.Process.Kill(); cmd.Wait() }()
			r := Request{PID: cmd.Process.Pid, UID: tt.uid}
			for range 100 { // until it has called exec for the last time
				if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", r.PID)); string(comm) == "sleep\n" {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if got := openProc("/proc", &r).owner(tt.uid); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
