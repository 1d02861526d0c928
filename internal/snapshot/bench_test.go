//go:build linux

package snapshot

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/testenv"
)

// threadsInGo waits with six threads, each on a goroutine's stack, which only a
// walk can tell the size of.
const threadsInGo = `package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"syscall"
)

func wait(fd int) {
	runtime.LockOSThread()
	syscall.Read(fd, make([]byte, 1))
}

func main() {
	fmt.Fprint(os.Stderr, http.StatusText(0)) // a program of some size
	var p [2]int
	syscall.Pipe(p[:])
	for range 5 {
		go wait(p[0])
	}
	fmt.Println("ready")
	wait(p[0])
}
`

// BenchmarkPause tells how long a process stands still while bt looks at it for
// the first time (cold: no file has been opened yet) and when all of its files
// are known (warm). The figures are medians; ns/op is all of a look.
func BenchmarkPause(b *testing.B) {
	for _, tt := range []struct {
		name  string
		start func(b *testing.B) *exec.Cmd
	}{
		{"go", goProgram},
		{"node", func(b *testing.B) *exec.Cmd {
			return exec.Command(testenv.Need(b, "node", "nodejs"), "-e", `setInterval(()=>{}, 1e6); console.log("ready")`)
		}},
		{"python", func(b *testing.B) *exec.Cmd {
			return exec.Command(testenv.Need(b, "python3", "python3"), "-c",
				"import threading, time\nfor i in range(4): threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()\nprint('ready', flush=True)\ntime.sleep(1e6)")
		}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			p := ready(b, tt.start(b))
			for _, cold := range []bool{true, false} {
				b.Run(fmt.Sprintf("cold=%v", cold), func(b *testing.B) { benchPause(b, p, cold) })
			}
		})
	}
}

func benchPause(b *testing.B, p *live.Process, cold bool) {
	cache := new(image.Cache)
	var pauses []float64
	for b.Loop() {
		if cold {
			cache = new(image.Cache)
		}
		s, err := Process(p, Options{MaxFrames: 256, Cache: cache, Source: Source(p, "")})
		if err != nil {
			b.Fatal(err)
		}
		pauses = append(pauses, float64(s.Pause))
		s.Close()
	}
	slices.Sort(pauses)
	b.ReportMetric(pauses[len(pauses)/2]/1e3, "µs-pause")
}

func goProgram(b *testing.B) *exec.Cmd {
	dir := b.TempDir()
	src, exe := filepath.Join(dir, "main.go"), filepath.Join(dir, "prog")
	if err := os.WriteFile(src, []byte(threadsInGo), 0o644); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command(testenv.Need(b, "go", "golang-go"), "build", "-o", exe, src).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return exec.Command(exe)
}

// ready starts a program and opens it once it says that it is ready.
func ready(t testing.TB, cmd *exec.Cmd) *live.Process {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	p, err := live.Open(cmd.Process.Pid, "/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}
