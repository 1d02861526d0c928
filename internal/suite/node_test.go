//go:build linux

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/render/json/schematest"
	"github.com/gatedso/bt/internal/testenv"
)

// nodeTest plays a node of Kubernetes, in a mount namespace of its own where the sysctls
// are files: it starts what the DaemonSet runs, has a process crash as the kernel would
// tell it, and ends the pod.
const nodeTest = `
mkdir -p host/proc
mount -t proc proc host/proc
for name in core_pattern core_pipe_limit; do mount --bind $name host/proc/sys/kernel/$name; done
HOST=$PWD/host $NODE > out &
pod=$!
until grep -q 'crash handle' core_pattern && [ -e host/opt/bt/crashes.jsonl ]; do kill -0 $pod; sleep 0.05; done
cp core_pattern installed
until [ -s out ]; do # tail may not have looked at the file yet
	kill -0 $pod
	chroot host /opt/bt/bt crash handle --pid $PID --tid $PID --signal 11 --uid 0 --gid 0 --time $NOW --name prog < $CORE
	sleep 0.2
done
kill $pod
wait $pod
`

// TestNode: what the DaemonSet runs makes bt the node's crash handler, prints reports as
// JSON, and leaves the node as it was.
func TestNode(t *testing.T) {
	testenv.NeedRoot(t)
	dir, _ := shortDir(t)
	node, err := filepath.Abs("../../packaging/container/node")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"core_pattern": "core.before\n", "core_pipe_limit": "7\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2", "4")
	p.freeze(t)
	cmd := exec.Command("unshare", "--mount", "sh", "-euc", nodeTest)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NODE="+node, "BT="+btPath, "PID="+itoa(p.pid), "CORE="+p.gcore(t), "NOW="+itoa(int(time.Now().Unix())))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	if got := read("installed"); !strings.HasPrefix(got, "|/opt/bt/bt crash handle ") {
		t.Errorf("the handler was %q", got)
	}
	if read("core_pattern") != "core.before\n" || read("core_pipe_limit") != "7\n" {
		t.Errorf("the node is left with %q, %q", read("core_pattern"), read("core_pipe_limit"))
	}
	if err := schematest.Check([]byte(read("out"))); err != nil || !strings.Contains(read("out"), `"report":"# crash report by`) {
		t.Errorf("%v: %.300s", err, read("out"))
	}
}
