//go:build linux

package waits

import (
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/stack"
)

// files is what procfs tells of a process's descriptors, and of what else it waits
// for, after the stop.
type files struct {
	run     *Run
	pid     int
	dir     procfs.Dir
	net     *sockets // nil: not read yet
	netns   sameNamespace
	asked   int // of how many unix sockets the kernel was asked
	locks   []fileLock
	locked  bool // locks are read
	timens  sameNamespace
	objects map[int]fdObject
}

func newFiles(run *Run, pid int, dir procfs.Dir) *files {
	return &files{run: run, pid: pid, dir: dir, objects: make(map[int]fdObject)}
}

// fdObject is what a descriptor is of.
type fdObject struct {
	kind string // as Wait.Kind
	link string // as the kernel names it
	text string // for people, harmless to print
	fifo bool
	// socket is the inode number of one.
	socket string
	dev    uint64
	ino    uint64
}

// object looks at a descriptor.
func (f *files) object(fd int) (o fdObject, ok bool) {
	if f == nil || fd < 0 {
		return o, false
	}
	if o, ok := f.objects[fd]; ok {
		return o, o.link != ""
	}
	o = f.describe(fd)
	f.objects[fd] = o
	return o, o.link != ""
}

func (f *files) describe(fd int) (o fdObject) {
	name := "fd/" + strconv.Itoa(fd)
	o.link = f.dir.Readlink(name)
	o.text, o.kind = escape.Name(o.link), "file"
	switch {
	case o.link == "":
		return o
	case strings.HasPrefix(o.link, "pipe:["):
		o.kind, o.fifo = "pipe", true
		return o
	case strings.HasPrefix(o.link, "socket:["):
		o.kind = "socket"
		o.socket = strings.TrimSuffix(o.link[len("socket:["):], "]")
		if about := f.sockets().about[o.socket]; about != "" {
			o.text += " (" + about + ")"
		}
		return o
	case strings.HasPrefix(o.link, "anon_inode:"):
		o.kind = strings.Trim(o.link[len("anon_inode:"):], "[]")
		if o.kind == "eventpoll" {
			o.kind = "epoll"
		}
		o.kind, o.text = escape.Name(o.kind), escape.Name(o.kind)
		return o
	}
	var st unix.Stat_t
	if unix.Fstatat(int(f.dir), name, &st, 0) == nil {
		o.dev, o.ino = uint64(st.Dev), st.Ino
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO:
			o.kind, o.fifo = "pipe", true
		case unix.S_IFCHR:
			o.kind = "device"
			if strings.HasPrefix(o.link, "/dev/pts/") || strings.HasPrefix(o.link, "/dev/tty") || o.link == "/dev/console" {
				o.kind = "terminal"
			}
		}
	}
	return o
}

// file tells the descriptor that a call waits for, in argument i.
func (d *decoder) file(i int, writes bool) (w wait, ok bool) {
	fd := int(int32(d.call.Args[i]))
	if fd < 0 {
		return w, false
	}
	w.FD = &fd
	w.Text = d.name + " of fd " + strconv.Itoa(fd)
	f := d.reader.files
	o, known := f.object(fd)
	if !known {
		return w, true
	}
	w.Kind, w.Object = o.kind, o.text
	w.Text += ": " + o.text
	if o.kind == "epoll" {
		if about := f.watched(fd); about != "" {
			w.Text += " of " + about
		}
	}
	if o.socket != "" {
		if w.Holders = f.peers(o.socket); len(w.Holders) > 0 {
			w.Text += ", connected to " + parties(w.Holders)
		}
	}
	if o.fifo && !strings.HasSuffix(d.name, "ioctl") {
		w.Holders, w.all = f.otherEnd(o, writes)
		if len(w.Holders) > 0 {
			w.Text += map[bool]string{false: ", written by ", true: ", read by "}[writes] + parties(w.Holders)
		}
	}
	return w, true
}

// named is a descriptor and what it is, for a list.
func (f *files) named(fd int) string {
	text := "fd " + strconv.Itoa(fd)
	if o, ok := f.object(fd); ok {
		text += ": " + o.text
	}
	return text
}

// list names descriptors, a few of them.
func (f *files) list(fds []int) string {
	text := ""
	for i, fd := range fds {
		switch {
		case i == maxNamed:
			return text + " and " + strconv.Itoa(len(fds)-i) + " more"
		case i > 0:
			text += ", "
		}
		text += f.named(fd)
	}
	return text
}

// poll is poll and ppoll: struct pollfd is int fd, short events, short revents.
func (d *decoder) poll() (w wait, ok bool) {
	var fds []int
	n := d.call.Args[1]
	for i := range min(n, maxPolled) {
		fd, ok := d.m.Word(d.call.Args[0]+i*pollfdSize, 4)
		if !ok {
			return w, false
		}
		if int32(fd) >= 0 {
			fds = append(fds, int(int32(fd)))
		}
	}
	return d.anyOf(fds, int(min(n-min(n, maxPolled), 1<<20)))
}

// anyOf is a call that waits for several descriptors; more are not listed.
func (d *decoder) anyOf(fds []int, more int) (w wait, ok bool) {
	if len(fds) == 0 {
		w.Kind, w.Text = "time", d.name+" of nothing"+d.left()
		return w, true
	}
	w.Text = d.name + " of " + d.reader.files.list(fds)
	if more > 0 {
		w.Text += ", and of " + strconv.Itoa(more) + " more"
	}
	if len(fds) == 1 && more == 0 {
		w.FD = &fds[0]
		if o, ok := d.reader.files.object(fds[0]); ok {
			w.Kind, w.Object = o.kind, o.text
		}
	}
	w.timed = true // what ends it is not followed
	w.Text += d.left()
	return w, true
}

// selects is select and pselect6: three sets of bits, as many as the first argument.
func (d *decoder) selects() (w wait, ok bool) {
	n := min(d.call.Args[0], unix.FD_SETSIZE)
	word := d.t.Arch.PtrSize
	var fds []int
	for set := 1; set <= 3; set++ {
		at := d.call.Args[set]
		if at == 0 {
			continue
		}
		for i := uint64(0); i < n; i += uint64(8 * word) {
			v, ok := d.m.Word(at+i/8, word)
			if !ok {
				return w, false
			}
			for ; v != 0; v &= v - 1 {
				if fd := i + uint64(bits.TrailingZeros64(v)); fd < n {
					fds = append(fds, int(fd))
				}
			}
		}
	}
	slices.Sort(fds)
	return d.anyOf(slices.Compact(fds), 0)
}

// maxInfo bounds what is read of one fdinfo: an epoll can watch any number.
const maxInfo = 64 << 10

// watched names what an epoll watches, by the lines "tfd: N events: …" of its fdinfo.
func (f *files) watched(fd int) string {
	b, err := f.dir.ReadUpTo("fdinfo/"+strconv.Itoa(fd), 4096, maxInfo)
	if err != nil {
		return ""
	}
	return f.list(watchedFDs(b))
}

func watchedFDs(info []byte) []int {
	var fds []int
	for line := range strings.Lines(string(info)) {
		rest, ok := strings.CutPrefix(line, "tfd:")
		if !ok {
			continue
		}
		word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if fd, err := strconv.Atoi(word); err == nil && fd >= 0 {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return slices.Compact(fds)
}

// connect tells where to.
func (d *decoder) connect() (w wait, ok bool) {
	if w, ok = d.file(0, true); !ok {
		return w, false
	}
	b := make([]byte, min(d.call.Args[2], addrSize))
	b = b[:d.m.Read(d.call.Args[1], b)]
	if to := sockaddr(b); to != "" {
		w.Text += ", to " + to
		w.Object += " to " + to
	}
	return w, true
}

// children tells which processes wait4 and waitid wait for.
func (d *decoder) children() (w wait, ok bool) {
	const pAll, pPID, pPGID, pPIDFD = 0, 1, 2, 3
	id := int(int32(d.call.Args[0]))
	group := 0
	if d.name == "waitid" {
		kind := id
		switch id = int(int32(d.call.Args[1])); kind {
		case pAll:
			id = -1
		case pPGID:
			id, group = -1, id
		case pPID:
		case pPIDFD:
			return d.file(1, false)
		default:
			return w, false
		}
	} else if id < -1 {
		id, group = -1, -id
	} else if id == 0 {
		return w, false // its own process group
	}
	w.Kind = "process"
	f := d.reader.files
	if id > 0 {
		if f != nil && d.reader.local == nil {
			if p, ok := f.process(id); ok {
				w.Holders, w.all = []stack.Party{p}, true
			}
		}
		if len(w.Holders) == 0 {
			w.Text = d.name + " for process " + strconv.Itoa(id)
			return w, true
		}
	} else if f != nil {
		w.Holders, w.all = f.children(group)
	}
	switch {
	case len(w.Holders) > 1:
		w.Text = d.name + " for any of " + parties(w.Holders)
	case len(w.Holders) == 1:
		w.Text = d.name + " for " + parties(w.Holders)
	case group > 0:
		w.Text = d.name + " for any child of process group " + strconv.Itoa(group)
	default:
		w.Text = d.name + " for any child"
	}
	return w, true
}

// process names a process that lives.
func (f *files) process(pid int) (stack.Party, bool) {
	st, err := f.stat(pid)
	if err != nil || st.Dead() {
		return stack.Party{}, false
	}
	return stack.Party{PID: pid, Name: st.Comm}, true
}

func (f *files) stat(pid int) (procfs.Stat, error) {
	dir, err := procfs.OpenPID(f.run.procfs, pid)
	if err != nil {
		return procfs.Stat{}, err
	}
	defer dir.Close()
	return dir.Stat("stat")
}

// maxChildren bounds how many children are looked at.
const maxChildren = 256

// children are those of the process; group is 0, or the process group that they are in.
// all is set where none can be missing.
func (f *files) children(group int) (list []stack.Party, all bool) {
	l, err := f.dir.OpenTasks(8 << 10)
	if err != nil {
		return nil, false
	}
	defer l.Dir.Close()
	tids, err := l.List()
	if err != nil || len(tids) > maxLocal {
		return nil, false
	}
	for _, tid := range tids {
		b, err := f.dir.Read("task/" + strconv.Itoa(tid) + "/children")
		if err != nil {
			return nil, false
		}
		for word := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			if len(list) == maxChildren {
				return list, false
			}
			st, err := f.stat(pid)
			if err == nil && !st.Dead() && (group == 0 || st.PGRP == group) {
				list = append(list, stack.Party{PID: pid, Name: st.Comm})
			}
		}
	}
	return list, len(list) > 0
}

// sameNamespace is whether a process is in the same namespace as bt.
type sameNamespace uint8

const (
	unknownNamespace sameNamespace = iota
	ownNamespace
	otherNamespace
)

// is reports whether the process is in bt's own namespace of a kind; it asks once.
func (s *sameNamespace) is(f *files, kind string) bool {
	if f == nil {
		return false
	}
	if *s == unknownNamespace {
		own, err := os.Readlink(f.run.procfs + "/self/ns/" + kind)
		*s = otherNamespace
		// An old kernel has no such namespaces.
		if theirs := f.dir.Readlink("ns/" + kind); err != nil && theirs == "" || err == nil && theirs == own {
			*s = ownNamespace
		}
	}
	return *s == ownNamespace
}

// sameClock reports whether CLOCK_MONOTONIC is the same for the process as for bt.
func (f *files) sameClock() bool { return f != nil && f.timens.is(f, "time") }

// syscall reads which system call a thread sleeps in now.
func (f *files) syscall(tid int) (c syscallLine, ok bool) {
	if f == nil {
		return c, false
	}
	return readSyscall(f.dir, tid)
}
