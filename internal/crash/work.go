//go:build linux

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/guard"
)

// work has the worker write the rest of the report, within the time of the job.
func (h *Handler) work(w io.Writer, job *Job) error {
	file, err := job.send()
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{"bt"}, h.Worker...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "GOTRACEBACK=none"}
	cmd.Stdin = h.Core
	if h.chain != nil {
		core, err := h.chain.share()
		if err != nil {
			return err
		}
		defer core.Close()
		cmd.Stdin = core
	}
	cmd.ExtraFiles = []*os.File{file}
	for _, m := range job.Files {
		cmd.ExtraFiles = append(cmd.ExtraFiles, m.f)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// What it complains of is an internal error, of one line.
	stderr := limitedBuffer{max: 4 << 10}
	cmd.Stderr = &stderr
	if err := startUnprivileged(cmd); err != nil {
		return err
	}
	for _, m := range job.Files {
		m.f.Close()
	}
	timer := time.AfterFunc(job.Timeout, func() { cmd.Process.Kill() })
	_, err = io.Copy(w, stdout)
	stopped := timer.Stop()
	werr := cmd.Wait()
	switch exit := new(exec.ExitError); {
	case !stopped:
		return fmt.Errorf("not done within %v", job.Timeout.Round(time.Millisecond))
	case errors.As(werr, &exit):
		if line, _, _ := bytes.Cut(stderr.Bytes(), []byte("\n")); len(line) > 0 {
			return fmt.Errorf("%s (%w)", line, werr)
		}
		return fmt.Errorf("what reads the core failed: %w", werr)
	case werr != nil:
		return werr
	}
	return err
}

// name is what the process was called by.
func (p *process) name(comm string) string {
	switch {
	case p.exe != "":
		return p.exe
	case p.comm != "":
		return "[" + p.comm + "]"
	}
	return "[" + comm + "]"
}

// startUnprivileged starts a command that can gain no privileges by exec. The
// flag is the thread's, which the command inherits it from and which ends then.
func startUnprivileged(cmd *exec.Cmd) error {
	started := make(chan error)
	go guard.Run(func() {
		runtime.LockOSThread() // never unlocked
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	})
	return <-started
}

// lines is what was kept, whole lines, with a note where that is not all. What could
// drive a terminal is escaped: the worker is not to be trusted.
func (b *limitedBuffer) lines() string {
	var text strings.Builder
	for line := range strings.Lines(b.String()) {
		if line, whole := strings.CutSuffix(line, "\n"); whole {
			text.WriteString(escape.Text(line) + "\n")
		}
	}
	if b.Len() == b.max {
		fmt.Fprintf(&text, "# crash incomplete: the log has the first %d bytes of the report\n", text.Len())
	}
	return text.String()
}

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	bytes.Buffer
	max int
}

func (b *limitedBuffer) Write(data []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(data[:min(len(data), room)])
	}
	return len(data), nil
}
