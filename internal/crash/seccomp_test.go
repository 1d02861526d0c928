//go:build linux

package crash

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch/host"
)

// filtered is the variable that makes the test binary try what the worker may.
const filtered = "BT_TEST_FILTERED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(filtered); dir != "" {
		tryCalls(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tryCalls prints a line for each thing that does not go as it should under the
// filter.
func tryCalls(dir string) {
	self, _ := os.Executable()
	if err := new(Job).filterCalls(); err != nil {
		fmt.Println("no filter:", err)
		return
	}
	// Go's runtime has all that it needs: threads, collections, timers, pipes.
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			runtime.LockOSThread()
			runtime.GC()
			r, w, err := os.Pipe()
			if err != nil {
				fmt.Println("no pipe:", err)
				return
			}
			go w.Write(make([]byte, 100))
			r.Read(make([]byte, 100))
		})
	}
	all.Wait()
	if _, err := os.ReadFile(self); err != nil {
		fmt.Println("a file cannot be read:", err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		fmt.Println("a directory cannot be read:", err)
	}
	for what, err := range map[string]error{
		"a file was made":        os.WriteFile(filepath.Join(dir, "new"), nil, 0o600),
		"a file was emptied":     os.Truncate(self, 0),
		"a file was removed":     os.Remove(filepath.Join(dir, "there")),
		"a directory was made":   os.Mkdir(filepath.Join(dir, "d"), 0o700),
		"a mode was changed":     os.Chmod(dir, 0o777),
		"a program was run":      exec.Command("true").Run(),
		"a signal was sent":      unix.Kill(os.Getppid(), 0),
		"a thread was signalled": unix.Tgkill(os.Getppid(), os.Getppid(), 0),
		"a process was traced":   unix.PtraceSeize(os.Getppid()),
		"memory was read":        readOther(),
		"a namespace was made":   unix.Unshare(unix.CLONE_NEWUSER),
		"a socket was made":      dial(),
		"a limit was set":        unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, new(unix.Rlimit)),
	} {
		if err == nil || !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
			fmt.Printf("%s: %v\n", what, err)
		}
	}
}

func dial() error {
	_, err := net.Dial("udp", "127.0.0.1:9")
	return err
}

func readOther() error {
	b := make([]byte, 8)
	_, err := unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 4096, Len: 8}}, 0)
	return err
}

// The filter leaves what Go and the worker need, and nothing to do harm with; as
// root, since another user may do less anyway.
func TestFilterCalls(t *testing.T) {
	if host.AuditArch == 0 {
		t.Skip("there is no filter for this CPU")
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "there"), nil, 0o600)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), filtered+"="+dir)
	out, err := cmd.CombinedOutput()
	if strings.HasPrefix(string(out), "no filter: ") {
		t.Skip(string(out))
	}
	if err != nil || len(out) > 0 {
		t.Errorf("%s%v", out, err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("files were changed: %v", list)
	}
}
