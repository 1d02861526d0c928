//go:build linux

package crash

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/procfs"
	procmaps "github.com/gatedso/bt/maps"
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
		set(func(p *process) { p.problems = append(p.problems, escape.Sprintf(format, args...)) })
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
	exe := procfs.Dir(d.fd).Readlink("exe")
	set(func(p *process) { p.exe = exe })
	if comm, err := procfs.Dir(d.fd).Comm("comm"); err == nil {
		set(func(p *process) { p.comm = comm })
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
	d.threads(len(statusLine(status, "NSpid:")) > 1, set)
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
func openProc(proc string, r *Request) procDir {
	path := proc + "/" + strconv.Itoa(r.PID)
	dir, err := procfs.OpenDir(path)
	fd := int(dir)
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
	if ids, ok := procfs.ParseStatus(status).UIDs(); !ok || int(ids[0]) != r.UID {
		return fmt.Errorf("process %d is not of user %d: its files were not opened", r.PID, r.UID)
	}
	// Linux 4.15 and later tell. A handler that was started by hand may be given
	// any process.
	if dumping := statusLine(status, "CoreDumping:"); os.Getppid() == kthreadd && len(dumping) == 1 && dumping[0] == "0" {
		return fmt.Errorf("process %d is not the one that crashed, which has ended: its files were not opened", r.PID)
	}
	return nil
}

func (d procDir) read(name string, max int) ([]byte, error) {
	b, err := procfs.Dir(d.fd).ReadUpTo(name, 2048, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	return b[:min(len(b), max)], nil
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
	f, _, err := procfs.OpenRegular(e.Path, func(flags int) (int, error) {
		return procfs.Dir(d.fd).Open(procfs.MapFile(e.Start, e.End), flags)
	})
	return f, err
}

// threads reads the threads' names. Their numbers are to be those of the core,
// which are of the process's own PID namespace, the innermost.
func (d procDir) threads(otherNamespace bool, set func(func(*process))) {
	l, err := procfs.Dir(d.fd).OpenTasks(8 << 10)
	if err != nil {
		return
	}
	defer l.Dir.Close()
	tids, _ := l.List()
	tids = tids[:min(len(tids), maxNames)]
	names := make(map[int]string, len(tids))
	for _, tid := range tids {
		task := strconv.Itoa(tid)
		if otherNamespace {
			status, _ := l.Dir.Status(task + "/status")
			ids := status.NSpid()
			if len(ids) == 0 {
				continue
			}
			tid = ids[len(ids)-1]
		}
		if comm, err := l.Dir.Comm(task + "/comm"); err == nil {
			names[tid] = comm
		}
	}
	set(func(p *process) { p.threads = names })
}

// statusLine returns the fields of a line of a status file.
func statusLine(status []byte, key string) []string {
	return strings.Fields(procfs.ParseStatus(status)[strings.TrimSuffix(key, ":")])
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
