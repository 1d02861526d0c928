//go:build linux

package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/procfs"
)

// Bounds of the handler before bt, which gets the core, too.
const (
	chainStall = 30 * time.Second // how long it may leave the core unread
	chainTime  = 5 * time.Minute  // how long it may take: systemd-coredump's own limit
)

// chain is the handler that bt has replaced, at work on the same core.
type chain struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	in     *os.File // its core; nil once it does not take it any more
	core   *os.File // the kernel's
	err    error    // why it did not get the whole core
	fed    chan struct{}
}

// startChain starts the handler of pattern. The core goes to it by feed.
func startChain(pattern string, args []string, core *os.File, pidfd int) (*chain, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), chainTime)
	cmd := exec.CommandContext(ctx, args[0])
	cmd.Args = args
	cmd.Env = []string{} // as the kernel does
	cmd.Dir = "/"
	cmd.Stdin = r
	if pidfd == kernelPidfd {
		// It has the same number there.
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(pidfd), "pidfd")}
	}
	if err := cmd.Start(); err != nil {
		cancel()
		w.Close()
		return nil, fmt.Errorf("the handler before bt, %q: %w", pattern, err)
	}
	c := &chain{cmd: cmd, cancel: cancel, in: w, core: core}
	// A core that does not come on is not waited for longer than the handler.
	if fd, err := unix.FcntlInt(core.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		if unix.SetNonblock(fd, true) == nil {
			c.core = os.NewFile(uintptr(fd), core.Name())
			c.core.SetReadDeadline(time.Now().Add(chainTime))
		}
	}
	return c, nil
}

// share has the core go on to what r reads, too, from now on. The caller closes r.
func (c *chain) share() (r *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.fed = make(chan struct{})
	go guard.Run(func() {
		defer close(c.fed)
		c.feed(w)
	})
	return r, nil
}

// kernelPidfd is the number that the kernel gives to the descriptor of %F
// (COREDUMP_PIDFD_NUMBER, fs/coredump.c).
const kernelPidfd = 3

// feed passes the core on, to the handler and to w, which may be nil, until it ends
// or neither takes it any more. It closes w.
func (c *chain) feed(w *os.File) {
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	for c.in != nil || w != nil {
		n, err := c.core.Read(buf)
		if n > 0 {
			c.write(buf[:n])
			if w != nil {
				if _, err := w.Write(buf[:n]); err != nil {
					w.Close()
					w = nil // what reads the core has ended
				}
			}
		}
		if err != nil {
			if err != io.EOF && c.err == nil {
				c.err = err
			}
			return
		}
	}
}

func (c *chain) write(b []byte) {
	if c.in == nil {
		return
	}
	c.in.SetWriteDeadline(time.Now().Add(chainStall))
	_, err := c.in.Write(b)
	if err == nil {
		return
	}
	c.in.Close()
	c.in = nil
	// One that has seen enough closes its input: that is its own affair.
	if !errors.Is(err, unix.EPIPE) {
		c.err = fmt.Errorf("it has not taken the core: %w", err)
	}
}

// finish gives the handler the rest of the core and waits for its end.
func (c *chain) finish() error {
	if c.fed != nil {
		<-c.fed
	} else {
		c.feed(nil)
	}
	if c.in != nil {
		c.in.Close()
	}
	defer c.cancel()
	return errors.Join(c.err, c.cmd.Wait())
}

// expand makes a handler's arguments of its pattern, as the kernel does: words at
// blanks first, then what stands for something (format_corename, fs/coredump.c;
// core(5)).
func (d procDir) expand(pattern string, r *Request) ([]string, error) {
	words := strings.Fields(strings.TrimPrefix(pattern, "|"))
	if !strings.HasPrefix(pattern, "|") || len(words) == 0 || !path.IsAbs(words[0]) {
		return nil, fmt.Errorf("%q is no handler's pattern", pattern)
	}
	status, _ := d.read("status", 64<<10)
	for i, word := range words {
		var b strings.Builder
		for j := 0; j < len(word); j++ {
			if word[j] != '%' {
				b.WriteByte(word[j])
				continue
			}
			if j++; j < len(word) {
				b.WriteString(d.value(word[j], r, status))
			}
		}
		words[i] = b.String()
	}
	return words, nil
}

// value is what a letter stands for in a pattern; nothing for those that the
// kernel does not know either.
func (d procDir) value(letter byte, r *Request, status []byte) string {
	switch letter {
	case '%':
		return "%"
	case 'P':
		return strconv.Itoa(r.PID)
	case 'p':
		return lastField(statusLine(status, "NSpid:"), r.PID)
	case 'I':
		return strconv.Itoa(r.TID)
	case 'i':
		thread, _ := d.read(fmt.Sprintf("task/%d/status", r.TID), 64<<10)
		return lastField(statusLine(thread, "NSpid:"), r.TID)
	case 'u':
		return strconv.Itoa(r.UID)
	case 'g':
		return strconv.Itoa(r.GID)
	case 's':
		return strconv.Itoa(r.Signal)
	case 't':
		return strconv.FormatInt(r.Time.Unix(), 10)
	case 'd':
		return strconv.Itoa(r.Dump)
	case 'F':
		if r.Pidfd > 0 {
			return strconv.Itoa(r.Pidfd)
		}
	case 'h':
		host, _ := os.Hostname()
		return host
	case 'e':
		return r.Name
	case 'f', 'E':
		exe := strings.TrimSuffix(procfs.Dir(d.fd).Readlink("exe"), " (deleted)")
		if letter == 'f' {
			return path.Base(exe)
		}
		return strings.ReplaceAll(exe, "/", "!")
	case 'c':
		return d.coreLimit()
	case 'C':
		return d.processor()
	}
	return ""
}

func lastField(fields []string, otherwise int) string {
	if len(fields) == 0 {
		return strconv.Itoa(otherwise)
	}
	return fields[len(fields)-1]
}

// coreLimit is the process's soft limit of a core's size, as the kernel prints it.
func (d procDir) coreLimit() string {
	limits, _ := d.read("limits", 64<<10)
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if f := strings.Fields(rest); len(f) > 0 && f[0] != "unlimited" {
				return f[0]
			}
			break
		}
	}
	return "18446744073709551615" // RLIM_INFINITY
}

// processor is the CPU that the process ran on last (proc_pid_stat(5), field 39).
func (d procDir) processor() string {
	stat, _ := d.read("stat", 64<<10)
	i := strings.LastIndexByte(string(stat), ')')
	const field = 39 - 3 // the first behind the name is the third
	if f := strings.Fields(string(stat[i+1:])); len(f) > field {
		return f[field]
	}
	return "0"
}
