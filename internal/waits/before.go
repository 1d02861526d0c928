//go:build linux

package waits

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/stack"
)

// before is what procfs told before the stop, in which threads sleep elsewhere.
type before struct {
	stopped string // why the whole process stands still; empty where it does not
	kernel  map[int]kernelStack
	refusal string // why there are no kernel stacks
}

// kernelStack is where a thread slept in the kernel.
type kernelStack struct {
	call   syscallLine
	frames []stack.KernelFrame
}

// syscallLine is /proc/PID/task/TID/syscall of a thread that sleeps.
type syscallLine struct {
	nr     int
	args   [6]uint64
	sp, pc uint64
}

// maxKernel is how many threads' kernel stacks are read.
const maxKernel = 1 << 16

// look reads what is not to be seen in the stop.
func (r *reader) look(dir procfs.Dir) {
	if r.wants.Waits {
		if st, err := dir.Stat("stat"); err == nil && st.State == 'T' {
			r.before.stopped = "a stop by SIGSTOP or the like"
		} else if r.frozen(dir) {
			r.before.stopped = "a frozen cgroup"
		}
	}
	if !r.wants.Kernel {
		return
	}
	l, err := dir.OpenTasks(8 << 10)
	if err != nil {
		return
	}
	defer l.Dir.Close()
	tids, err := l.List()
	if err != nil {
		return
	}
	r.before.kernel = make(map[int]kernelStack)
	for i, tid := range tids {
		if i == maxKernel {
			r.before.refusal = "kernel stacks: only those of " + strconv.Itoa(maxKernel) + " threads were read"
			return
		}
		if c, ok := readSyscall(dir, tid); ok {
			r.before.kernel[tid] = kernelStack{c, r.kernelFrames(dir, tid)}
		}
	}
}

// kernelFrames reads a thread's stack inside the kernel, or, where that is refused, the
// function that it sleeps in.
func (r *reader) kernelFrames(dir procfs.Dir, tid int) []stack.KernelFrame {
	task := "task/" + strconv.Itoa(tid)
	b, err := dir.Read(task + "/stack")
	if err == nil {
		return parseKernelStack(string(b))
	}
	if r.before.refusal == "" {
		r.before.refusal = "kernel stacks: " + r.run.procfs + "/" + strconv.Itoa(r.pid) + "/" + task + "/stack: " + reason(err)
		if errors.Is(err, fs.ErrPermission) {
			r.before.refusal += ": run as root; wchan tells where threads sleep"
		}
	}
	b, err = dir.Read(task + "/wchan")
	if name := strings.TrimSpace(string(b)); err == nil && name != "" && name != "0" {
		return []stack.KernelFrame{{Symbol: name}}
	}
	return nil
}

func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// maxKernelFrames is as many as the kernel tells (MAX_STACK_TRACE_DEPTH in
// fs/proc/base.c).
const maxKernelFrames = 64

// parseKernelStack reads lines such as "[<0>] ext4_map_blocks+0x6e/0x5f0 [ext4]".
func parseKernelStack(text string) []stack.KernelFrame {
	var list []stack.KernelFrame
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 2 || len(list) == maxKernelFrames {
			continue
		}
		name, offset, _ := strings.Cut(w[1], "+")
		offset, _, _ = strings.Cut(offset, "/")
		f := stack.KernelFrame{Symbol: name}
		f.Offset, _ = strconv.ParseUint(strings.TrimPrefix(offset, "0x"), 16, 64)
		if len(w) > 2 {
			f.Module = strings.Trim(w[2], "[]")
		}
		list = append(list, f)
	}
	return list
}

// kernel adds the kernel stack that was read before the stop, if the thread still slept
// in the same call then.
func (r *reader) kernel(model *stack.Thread, t *process.Unwound) {
	was, ok := r.before.kernel[t.TID]
	if !ok || len(was.frames) == 0 || !was.call.same(t) {
		return
	}
	model.Kernel = was.frames
}

// same reports whether a thread is in a system call as it was before.
func (c *syscallLine) same(t *process.Unwound) bool {
	in := asleepIn(t)
	return in.is(c)
}

// asleep is the system call that a thread was in when it was stopped.
type asleep struct {
	call  arch.Call
	sp    uint64
	known bool
}

func asleepIn(t *process.Unwound) (in asleep) {
	if !t.HasCall || t.Arch == nil {
		return in
	}
	in.call = t.Call
	in.sp, in.known = t.Regs.Get(t.Arch.SP)
	return in
}

// is reports whether a thread is in the same call.
func (in *asleep) is(c *syscallLine) bool {
	args := c.args
	if in.call.Lost {
		args[0] = in.call.Args[0]
	}
	return in.known && in.sp == c.sp && in.call.Nr == c.nr && in.call.Args == args
}

// sleeping is the kernel's stack of a thread that could not be stopped, if it has not
// moved since.
func (r *reader) sleeping(t *process.Unwound) []stack.KernelFrame {
	c, ok := readSyscall(r.files.dir, t.TID)
	if !ok || !c.same(t) {
		return nil
	}
	return r.kernelFrames(r.files.dir, t.TID)
}

// readSyscall reads "nr arg1 … arg6 sp pc", see proc_pid_syscall(5). It reports false
// for a thread that runs, or is in no system call.
func readSyscall(dir procfs.Dir, tid int) (c syscallLine, ok bool) {
	b, err := dir.ReadUpTo("task/"+strconv.Itoa(tid)+"/syscall", 256, 4096)
	if err != nil {
		return c, false
	}
	return parseSyscall(string(b))
}

func parseSyscall(text string) (c syscallLine, ok bool) {
	w := strings.Fields(text)
	if len(w) != 9 {
		return c, false
	}
	nr, err := strconv.Atoi(w[0])
	if err != nil || nr < 0 {
		return c, false
	}
	c.nr = nr
	for i, word := range w[1:] {
		v, err := strconv.ParseUint(strings.TrimPrefix(word, "0x"), 16, 64)
		switch {
		case err != nil:
			return c, false
		case i < 6:
			c.args[i] = v
		case i == 6:
			c.sp = v
		default:
			c.pc = v
		}
	}
	return c, true
}

// frozen reports whether the process's cgroup is: by cgroup.events of version 2, or
// freezer.state of version 1 (Documentation/admin-guide/cgroup-v2.rst of the kernel).
func (r *reader) frozen(dir procfs.Dir) bool {
	b, err := dir.Read("cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 || strings.Contains(f[2], "..") {
			continue
		}
		switch {
		case f[0] == "0" && f[1] == "":
			for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
				if b, err := readBounded(mount+f[2]+"/cgroup.events", 4096); err == nil && strings.Contains(string(b), "frozen 1") {
					return true
				}
			}
		case f[1] == "freezer":
			if b, err := readBounded("/sys/fs/cgroup/freezer"+f[2]+"/freezer.state", 64); err == nil && strings.HasPrefix(string(b), "FROZEN") {
				return true
			}
		}
	}
	return false
}

// restartable are the calls that the kernel goes on with by restart_syscall: those that
// return -ERESTART_RESTARTBLOCK.
var restartable = []string{"futex", "futex_time64", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "poll"}

// restarted tells which call a thread goes on with: the instructions in front of the pc
// say it, or the name of the function.
func (r *reader) restarted(t *process.Unwound, pc uint64) (int, bool) {
	sys := &t.Arch.Syscalls
	var nrs []int
	for _, name := range restartable {
		if nr := number(sys, name); nr >= 0 {
			nrs = append(nrs, nr)
		}
	}
	// 32-bit programs call the vDSO for it.
	end := pc - uint64(t.Call.Behind)
	if frames := t.Stack.Frames; len(frames) > 1 && r.names.isGate(pc) {
		end = frames[1].PC
	} else if t.Call.Unproved && t.Call.Behind == 0 && len(sys.Instructions) > 0 {
		end += uint64(len(sys.Instructions[0])) // the pc was put back to it
	}
	if nr, ok := r.numberBefore(t, end, nrs); ok {
		return nr, true
	}
	in := r.names.inner(t)
	name := in.sleep
	if in.object != noObject {
		name = "futex"
	}
	if name == "" || sys.Struct32 { // of which it could be the one with other times
		return 0, false
	}
	nr := number(sys, name)
	return nr, nr >= 0
}

// numberBefore tells which of the calls nrs the instructions before end make, or those
// of the caller, where a function of the C library makes its calls.
func (r *reader) numberBefore(t *process.Unwound, end uint64, nrs []int) (int, bool) {
	sys, frames := &t.Arch.Syscalls, t.Stack.Frames
	code := make([]byte, 48)
	if sys.Number == nil || r.space.Text(end-uint64(len(code)), code) < len(code) {
		return 0, false
	}
	if sys.Relay != nil && sys.Relay(code) {
		if len(frames) < 3 || frames[1].PC != end || r.space.Text(frames[2].PC-uint64(len(code)), code) < len(code) {
			return 0, false
		}
	}
	return sys.Number(code, nrs)
}

// number is that of the system call with that name, or -1.
func number(s *arch.Syscalls, name string) int {
	for nr, n := range s.Names {
		if n == name {
			return nr
		}
	}
	return -1
}
