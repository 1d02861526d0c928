package crash

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	procmaps "github.com/gatedso/bt/maps"

	"github.com/gatedso/bt/internal/guard"
)

// Bounds of what is taken of procfs.
const (
	maxMaps    = 16 << 20 // bytes
	maxFiles   = 256      // mapped files, each a descriptor
	maxNames   = 4096     // threads
	maxCmdline = 4096     // bytes
)

// process is what root sees of a process whose core is being dumped.
type process struct {
	exe     string
	cmdline string
	comm    string
	maps    []byte
	files   []mapped
	threads map[int]string // names by TID
	cgroup  string         // path in the unified hierarchy, or the longest of all

	innerPID string // its number in its own PID namespace; empty where that is ours

	problems []string
}

// mapped is a file that the process has mapped, opened.
type mapped struct {
	Dev, Inode uint64
	f          *os.File
}

// look gathers what there is to see of a process, and gives up waiting after
// some time: reading a mapping or opening a file can hang at the mercy of a file
// system that the process itself serves.
func (d procDir) look(r *Request, wait time.Duration) *process {
	var mu sync.Mutex
	var p process
	done := make(chan struct{})
	go guard.Run(func() {
		defer close(done)
		d.gather(r, func(step func(p *process)) {
			mu.Lock()
			defer mu.Unlock()
			step(&p)
		})
	})
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	late := false
	select {
	case <-done:
	case <-timeout.C:
		late = true
	}
	mu.Lock()
	defer mu.Unlock()
	seen := p // what comes later goes into the other
	seen.files = slices.Clone(p.files)
	seen.problems = slices.Clone(p.problems)
	seen.threads = maps.Clone(p.threads)
	if late {
		seen.problems = append(seen.problems, fmt.Sprintf("/proc/%d could not be read to the end within %v", r.PID, wait))
	}
	return &seen
}

// gather looks at a process; set changes what is known of it. No file is opened
// by a path that the process has a hand in.
func (d procDir) gather(r *Request, set func(func(*process))) {
	problem := func(format string, args ...any) {
		set(func(p *process) { p.problems = append(p.problems, fmt.Sprintf(format, args...)) })
	}
	if d.err != nil {
		problem("%v", d.err)
		return
	}
	status, _ := d.read("status", 64<<10)
	if err := d.isCrash(r, status); err != nil {
		problem("%v", err)
		return
	}
	if ids := statusLine(status, "NSpid:"); len(ids) > 1 {
		set(func(p *process) { p.innerPID = ids[len(ids)-1] })
	}
	exe, _ := d.readlink("exe")
	set(func(p *process) { p.exe = exe })
	if comm, err := d.read("comm", 64); err == nil {
		set(func(p *process) { p.comm = strings.TrimSuffix(string(comm), "\n") })
	}
	if text, err := d.read("cgroup", 64<<10); err == nil {
		set(func(p *process) { p.cgroup = cgroupOf(string(text)) })
	}
	text, err := d.read("maps", maxMaps)
	if err != nil {
		problem("%v", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	set(func(p *process) { p.maps = text })
	d.openMapped(text, set, problem)
	d.threads(otherNamespace(status), set)
	// The last, as it is the process's memory.
	if cmdline, err := d.read("cmdline", maxCmdline); err == nil {
		set(func(p *process) { p.cmdline = quoteArgs(cmdline) })
	}
}

// procDir is /proc/PID. Its descriptor stands for one process, whatever becomes
// of the number.
type procDir struct {
	fd   int
	path string
	err  error // it could not be opened, or is another process's
}

// openProc opens the directory of the process that crashed. It is to be the first
// that the handler does: the process can be killed while its core is written, and
// its number used again.
func openProc(procfs string, r *Request) procDir {
	path := procfs + "/" + strconv.Itoa(r.PID)
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return procDir{-1, path, fmt.Errorf("the process is gone, its files could not be opened: %w", &fs.PathError{Op: "open", Path: path, Err: err})}
	}
	if r.Pidfd <= 0 {
		return procDir{fd, path, nil}
	}
	// What the kernel's descriptor stands for cannot be mistaken. Where it
	// still stands for that number now, the directory is the process's, too.
	unix.CloseOnExec(r.Pidfd)
	if pid, ok := pidOfPidfd(r.Pidfd); !ok || pid != r.PID {
		unix.Close(fd)
		return procDir{-1, path, fmt.Errorf("process %d was killed while its core was written, its files could not be opened", r.PID)}
	}
	return procDir{fd, path, nil}
}

// kthreadd is the parent of what the kernel starts (init/main.c).
const kthreadd = 2

// isCrash makes sure that this is the process whose core is being written, by its
// status: where the handler came too late, the number can be another's by now.
func (d procDir) isCrash(r *Request, status []byte) error {
	if uid, ok := statusUID(status); !ok || uid != r.UID {
		return fmt.Errorf("process %d is not of user %d: its files were not opened", r.PID, r.UID)
	}
	// Linux 4.15 and later tell. A handler that was started by hand may be given
	// any process.
	if dumping := statusLine(status, "CoreDumping:"); os.Getppid() == kthreadd && len(dumping) == 1 && dumping[0] == "0" {
		return fmt.Errorf("process %d is not the one that crashed, which has ended: its files were not opened", r.PID)
	}
	return nil
}

func (d procDir) read(name string, max int64) ([]byte, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path + "/" + name, Err: err}
	}
	f := os.NewFile(uintptr(fd), d.path+"/"+name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

func (d procDir) readlink(name string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Readlinkat(d.fd, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// openMapped opens the files that are mapped as code.
func (d procDir) openMapped(text []byte, set func(func(*process)), problem func(string, ...any)) {
	m, err := procmaps.Parse(text)
	if err != nil {
		problem("%v", err)
		return
	}
	type id struct{ dev, inode uint64 }
	seen := make(map[id]bool)
	for i := range m.Entries {
		e := &m.Entries[i]
		key := id{e.Dev, e.Inode}
		if !e.IsFile() || e.Perm&procmaps.Exec == 0 || seen[key] {
			continue
		}
		if len(seen) == maxFiles {
			problem("more than %d files are mapped: the others were not opened", maxFiles)
			return
		}
		seen[key] = true
		f, err := d.openMapping(e)
		if err != nil {
			problem("%s was not opened: %v", e.Path, err)
			continue
		}
		set(func(p *process) { p.files = append(p.files, mapped{e.Dev, e.Inode, f}) })
	}
}

// openMapping opens a mapped file by the kernel's own link to it: the file
// itself, whatever its path has come to lead to.
func (d procDir) openMapping(e *procmaps.Mapping) (*os.File, error) {
	link := "map_files/" + strconv.FormatUint(e.Start, 16) + "-" + strconv.FormatUint(e.End, 16)
	probe, err := unix.Openat(d.fd, link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(probe)
	var st unix.Stat_t
	if err := unix.Fstat(probe, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("no regular file") // a device can notice that it is opened
	}
	// O_NONBLOCK, as whoever has a lease on the file could have us wait.
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(probe), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), e.Path), nil
}

// threads reads the threads' names. Their numbers are to be those of the core,
// which are of the process's own PID namespace, the innermost.
func (d procDir) threads(otherNamespace bool, set func(func(*process))) {
	fd, err := unix.Openat(d.fd, "task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "task")
	defer f.Close()
	tids, _ := f.Readdirnames(maxNames)
	names := make(map[int]string, len(tids))
	for _, name := range tids {
		tid, err := strconv.Atoi(name)
		if otherNamespace {
			status, _ := d.read("task/"+name+"/status", 64<<10)
			ids := statusLine(status, "NSpid:")
			if len(ids) == 0 {
				continue
			}
			tid, err = strconv.Atoi(ids[len(ids)-1])
		}
		if err != nil {
			continue
		}
		if comm, err := d.read("task/"+name+"/comm", 64); err == nil {
			names[tid] = strings.TrimSuffix(string(comm), "\n")
		}
	}
	set(func(p *process) { p.threads = names })
}

// statusUID reads the real user ID of /proc/PID/status.
func statusUID(status []byte) (int, bool) {
	fields := statusLine(status, "Uid:")
	if len(fields) == 0 {
		return 0, false
	}
	uid, err := strconv.Atoi(fields[0])
	return uid, err == nil
}

// otherNamespace reports whether the process is in another PID namespace.
func otherNamespace(status []byte) bool { return len(statusLine(status, "NSpid:")) > 1 }

func statusLine(status []byte, key string) []string {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

// quoteArgs shows the arguments of a command line for people.
func quoteArgs(cmdline []byte) string {
	if len(cmdline) == 0 {
		return ""
	}
	args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	for i, arg := range args {
		plain := func(r rune) bool { return r > ' ' && r < 0x7f && !strings.ContainsRune("\"'\\`$", r) }
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) }) {
			args[i] = strconv.QuoteToASCII(arg)
		}
	}
	return strings.Join(args, " ")
}
