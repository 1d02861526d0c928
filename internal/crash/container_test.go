//go:build linux

package crash

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestContainerOf(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct{ proc, cgroup, want string }{
		{"0::/user.slice/user-0.slice/session-1.scope\n", "/user.slice/user-0.slice/session-1.scope", ""},
		{"0::/\n", "/", ""},
		{"", "", ""},
		{"nonsense\n0:\n", "", ""},
		{"0::/system.slice/docker-" + id + ".scope\n", "/system.slice/docker-" + id + ".scope", id + " docker"},
		{"12:pids:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n0::/\n", "/docker/" + id, id + " docker"},
		{"0::/machine.slice/libpod-" + id + ".scope/container\n", "/machine.slice/libpod-" + id + ".scope/container", id + " podman"},
		{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/cri-containerd-" + id + ".scope\n",
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/cri-containerd-" + id + ".scope", id + " containerd"},
		{"0::/kubepods/besteffort/pod12/" + id + "\n", "/kubepods/besteffort/pod12/" + id, id + " kubernetes"},
		{"0::/kubepods.slice/kubepods-pod12.slice/crio-" + id + ".scope\n", "/kubepods.slice/kubepods-pod12.slice/crio-" + id + ".scope", id + " cri-o"},
		{"0::/machine.slice/systemd-nspawn@web.service/payload\n", "/machine.slice/systemd-nspawn@web.service/payload", "web systemd-nspawn"},
		{"0::/lxc.payload.web/init.scope\n", "/lxc.payload.web/init.scope", "web lxc"},
		// A user can name a group of his own as he likes, below his own.
		{"0::/docker-nothex.scope\n", "/docker-nothex.scope", ""},
	} {
		cgroup := cgroupOf(tt.proc)
		id, runtime := containerOf(cgroup)
		got := id
		if runtime != "" {
			got += " " + runtime
		}
		if cgroup != tt.cgroup || got != tt.want {
			t.Errorf("%q: %q, %q, want %q, %q", tt.proc, cgroup, got, tt.cgroup, tt.want)
		}
	}
}

// Nobody but root may have a say in where root appends.
func TestTrustedLog(t *testing.T) {
	needRoot(t)
	dir := private(t).Path
	for name, tt := range map[string]struct {
		make func(path string) error
		ok   bool
	}{
		"new":           {func(string) error { return nil }, true},
		"a file":        {func(p string) error { return os.WriteFile(p, nil, 0o600) }, true},
		"a link":        {func(p string) error { return os.Symlink("/etc/passwd", p) }, false},
		"a FIFO":        {func(p string) error { return unix.Mkfifo(p, 0o600) }, false},
		"another's":     {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chown(p, 1000, 0)) }, false},
		"for all":       {func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chmod(p, 0o666)) }, false},
		"another's dir": {func(p string) error { return os.Chown(filepath.Dir(p), 1000, 0) }, false},
	} {
		sub := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		os.Mkdir(sub, 0o755)
		path := filepath.Join(sub, "log")
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		if err := trustedLog(path); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := trustedLog(""); err != nil {
		t.Error(err)
	}
	if err := trustedLog(dir + "/none/log"); err == nil {
		t.Error("a directory that is not there")
	}
}
