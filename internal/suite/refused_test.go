//go:build linux

package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// A FUSE mount is closed to all but the user who has made it, root included: names
// that only the file has are missing, and bt says why, and what to do.
func TestFUSEOfAnotherUser(t *testing.T) {
	testenv.NeedRoot(t)
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		testenv.Skip(t, "%v: modprobe fuse", err)
	}
	defer device.Close()
	testenv.Need(t, "gcc", "gcc")
	prog, server := build(t, "gcc", "named.c", "-O1"), build(t, "gcc", "fuseserver.c", "-O1")
	dir := tempDir(t)
	mount := filepath.Join(dir, "mount")
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	// As fusermount3 does it for a user.
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=65534,group_id=65534", device.Fd())
	if err := syscall.Mount("fuseserver", mount, "fuse", syscall.MS_NOSUID|syscall.MS_NODEV, options); err != nil {
		testenv.Skip(t, "mounting a FUSE file system: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	file, err := os.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	serve := exec.Command(server, filepath.Base(prog))
	serve.Stdin, serve.ExtraFiles, serve.SysProcAttr = file, []*os.File{device}, asNobody()
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { serve.Process.Kill(); serve.Wait() })
	device.Close()

	mounted := filepath.Join(mount, filepath.Base(prog))
	cmd := exec.Command(mounted)
	cmd.SysProcAttr = asNobody()
	p := startCmd(t, cmd)
	p.settle(t)
	if _, err := os.Open(mounted); err == nil {
		testenv.Skip(t, "root may open the files of this mount (fuse.allow_sys_admin_access)")
	}
	const refused, remedy = "permission denied, to root, too", "run bt as that user or mount with -o allow_root"
	r := bt(t, "--pid", itoa(p.pid))
	if r.code != 0 || strings.Contains(r.stdout, "real_inner") {
		t.Fatalf("status %d, or the file was read:\n%s", r.code, r.stdout)
	}
	want := "bt: frames in " + mounted + " have no names: open " + mounted + ": " + refused
	if !strings.HasPrefix(r.stderr, want) || !strings.Contains(r.stderr, remedy) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("want one line %q with the remedy: %q", want, r.stderr)
	}
	pc := ""
	for _, f := range parse(t, r.stdout)[0].threads[0].frames {
		if f.name == "" {
			pc = fmt.Sprintf("%#x", f.addr)
		}
	}
	if r := bt(t, "--pid", itoa(p.pid), pc); r.code != 0 || !strings.HasPrefix(r.stderr, want) {
		t.Errorf("an address: %q", r.stderr)
	}
	if r := bt(t, "--pid", itoa(p.pid), "-v"); r.code != 0 || !strings.Contains(r.stderr, mounted+" (opened by memory): open "+mounted+": "+refused) {
		t.Errorf("-v: %q", r.stderr)
	}
	// That user has them.
	own := btCmd(t, "--pid", itoa(p.pid))
	own.SysProcAttr = asNobody()
	if r := run(t, own).want(t, 0); !strings.Contains(r.stdout, "real_inner") || r.stderr != "" {
		t.Errorf("as the user:\n%s%s", r.stdout, r.stderr)
	}
}
