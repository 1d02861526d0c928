//go:build linux

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/fault"
)

// Handler makes the report of one crash. It is what the kernel starts.
type Handler struct {
	Request Request
	Dir     string
	Procfs  string
	// Core is the core: a pipe from the kernel. It stays open to the end: the
	// kernel lets whoever waits for the process know of its death only when
	// nobody reads the pipe any more, and the report is to be there by then.
	Core    *os.File
	Log     string // where the log lines go, see Options.Log; empty: what the settings say
	Version string // of bt
	// Worker is the command that makes the report: see Job.
	Worker []string

	log      logger
	settings *Settings // nil if they could not be read
	chain    *chain    // nil if there is none
}

// lookWait is how long /proc/PID may take.
const lookWait = 5 * time.Second

// Run handles the crash: it leaves a report, and in any case one line in the
// log.
func (h *Handler) Run() error {
	debug.SetMemoryLimit(softMemory)
	unix.Umask(0o022) // directories above Dir are for others, too
	h.log.file = h.Log
	if err := errors.Join(noCore(), undumpable()); err != nil {
		return h.fail(err)
	}
	proc := openProc(h.Procfs, &h.Request) // never closed: a read of it that hangs goes on
	d, err := createDir(h.Dir)
	if err != nil {
		return h.fail(err)
	}
	defer d.Close()
	settings, err := d.Settings()
	if err == nil {
		h.settings = &settings
	}
	if h.log.file == "" {
		h.log.file = settings.Log
	}
	h.log.json, h.log.max = settings.Format == FormatJSON, settings.Limits.sane().MaxBytes
	if settings.Chain {
		if h.chain, err = h.startChain(proc, settings.Previous); err != nil {
			h.log.printf("%s: %v", h.Request.describe(), err)
		}
	}
	err = h.store(d, proc, settings.Limits.sane())
	if h.chain != nil {
		if err := h.chain.finish(); err != nil {
			h.log.printf("%s: the handler before bt, %q: %v", h.Request.describe(), settings.Previous, err)
		}
	}
	return err
}

// fail notes that there is no report: whatever fails, somebody must get to know of
// the crash.
func (h *Handler) fail(err error) error {
	var note string
	switch {
	case h.chain != nil:
		note = fmt.Sprintf("the handler before bt has the core: %q", h.settings.Previous)
	case h.settings != nil:
		note = fmt.Sprintf("no core was kept; the core_pattern before bt was %q", h.settings.Previous)
	default:
		note = "no core was kept; the core_pattern before bt was not known"
	}
	e := h.entry()
	e.Message = escape.Sprintf("no report of %s: %v (%s)", h.Request.describe(), err, note)
	h.log.write(e)
	return err
}

// store makes the report and puts it into the directory, when it is its turn.
func (h *Handler) store(d *Dir, proc procDir, limits Limits) error {
	r := &h.Request
	place, err := d.place(limits.Handlers, proc.owner(r.UID), limits.Timeout)
	if err != nil {
		return h.fail(err)
	}
	defer place.release()

	// Room is made before it is needed: on a full disk old reports have to go for
	// the new one.
	if err := d.prune(limits, 1); err != nil {
		h.log.printf("old crash reports could not be removed: %v", err)
	}
	out, err := d.create(r)
	if err != nil {
		return h.fail(err)
	}
	e, err := h.report(out, proc, place.index, &limits)
	if err != nil {
		out.drop()
		return h.fail(err)
	}
	file, err := out.keep(r)
	if err != nil {
		return h.fail(err)
	}
	e.Message = escape.Sprintf("%s: report %s/%s", r.describe(), d.Path, file)
	if len(e.Problems) > 0 {
		e.Message += escape.Text(" (" + strings.Join(e.Problems, "; ") + ")")
	}
	e.File = filepath.Join(d.Path, file)
	h.log.write(e)
	if err := d.prune(limits, 0); err != nil {
		h.log.printf("old crash reports could not be removed: %v", err)
		return err
	}
	return nil
}

// startChain starts the handler before bt on the same core.
func (h *Handler) startChain(proc procDir, pattern string) (*chain, error) {
	args, err := proc.expand(pattern, &h.Request)
	if err != nil {
		return nil, err
	}
	return startChain(pattern, args, h.Core, h.Request.Pidfd)
}

// sane replaces what would let no report be made.
func (l Limits) sane() Limits {
	d := DefaultLimits
	if l.MaxReports < 1 {
		l.MaxReports = d.MaxReports
	}
	if l.MaxBytes < 1 {
		l.MaxBytes = d.MaxBytes
	}
	if l.Timeout <= 0 {
		l.Timeout = d.Timeout
	}
	if l.Handlers < 1 {
		l.Handlers = d.Handlers
	}
	return l
}

// describe tells of the crash in the log.
func (r *Request) describe() string {
	return fmt.Sprintf("%s[%d] of user %d died of %s", escape.Name(r.Name), r.PID, r.UID, fault.SignalName(r.Signal))
}

// report writes the report, and gives what the log is to have of it.
func (h *Handler) report(file io.Writer, proc procDir, slot int, limits *Limits) (*entry, error) {
	e := h.entry()
	out, logged := file, &limitedBuffer{max: maxLogged}
	if h.log.wantsReport() {
		out = io.MultiWriter(file, logged)
	}
	end := time.Now().Add(limits.Timeout)
	p := proc.look(&h.Request, min(lookWait, limits.Timeout/2))
	w := &bounded{w: out, left: min(maxReport, limits.MaxBytes)}
	h.head(w, p)
	job := Job{
		Request: h.Request,
		Name:    p.name(h.Request.Name),
		Maps:    p.maps,
		Files:   p.files,
		Threads: p.threads,
		About:   p.about(),
		Timeout: time.Until(end),
	}
	job.UID, job.GID = workerIDs(slot, h.Request.UID)
	w.watch = AboutMark
	if err := h.work(w, &job); err != nil {
		e.Problems = append(e.Problems, escape.Error(err))
	}
	if w.seen && confirmed(w.about, job.About) {
		e.about(p)
	}
	if !w.seen && len(job.About) > 0 {
		// What reads the core has not come so far as to compare.
		fmt.Fprintf(out, "%s\n# crash problem: this is what /proc told; it was not compared with the core\n", strings.Join(job.About, "\n"))
	}
	if w.cut {
		e.Problems = append(e.Problems, fmt.Sprintf("cut after %d bytes", w.written))
	}
	for _, text := range e.Problems {
		fmt.Fprintf(out, "# crash incomplete: %s\n", escape.Text(text))
	}
	e.Report = logged.lines()
	return e, w.err
}

// confirmed reports whether the worker has written all lines of Job.About: it leaves
// them out where /proc/PID is not the process's whose core this is.
func confirmed(written, about []string) bool {
	return len(written) >= len(about) && slices.Equal(written[:len(about)], about)
}

// headPrefix begins the lines of a report's head.
const headPrefix = "# crash "

// head writes what root knows of the crash.
func (h *Handler) head(w io.Writer, p *process) {
	r := &h.Request
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s%s %s\n", headPrefix, key, value)
		}
	}
	line("report by", "bt "+h.Version)
	line("time", r.Time.UTC().Format(time.RFC3339))
	line("process", fmt.Sprint(r.PID))
	line("thread", fmt.Sprintf("%d \"%s\"", r.TID, escape.Name(r.Name)))
	line("user", fmt.Sprintf("%d group %d", r.UID, r.GID))
	line("signal", fault.SignalName(r.Signal))
	host, _ := os.Hostname()
	line("host", escape.Name(host))
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		line("kernel", fmt.Sprintf("%s %s %s", text(u.Sysname[:]), text(u.Release[:]), text(u.Machine[:])))
	}
	for _, problem := range p.problems {
		line("problem:", escape.Text(problem))
	}
}

// AboutMark begins the line behind which the worker has written what Job.About
// says, or why it has not.
const AboutMark = headPrefix + "read by "

// about are the lines of the report's head that are true only if /proc/PID is
// still the crashed process's.
func (p *process) about() (lines []string) {
	add := func(key, value string) {
		if value != "" {
			lines = append(lines, headPrefix+key+" "+value)
		}
	}
	add("exe", escape.Name(p.exe))
	add("command", p.cmdline) // quoted
	add("cgroup", escape.Name(p.cgroup))
	if id, runtime := containerOf(p.cgroup); id != "" {
		add("container", escape.Name(id)+" ("+runtime+")")
	}
	if p.innerPID != "" {
		add("namespace", "the process was number "+p.innerPID+" in a PID namespace of its own; numbers of processes, threads and users below are those of its namespaces")
	}
	return lines
}

// text is a NUL-terminated string.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return escape.Name(s)
}

// bounded passes on whole lines, as far as there is room.
type bounded struct {
	w       io.Writer
	left    int64
	written int64
	line    []byte // begun
	cut     bool
	err     error

	watch string // notes in seen whether a line begins so
	seen  bool
	about []string // the lines behind that one, maxAbout at most
}

// maxAbout bounds the lines that are kept of what the worker writes, all of which must
// fit those of Job.About.
const maxAbout = 8

// maxReportLine bounds a line: C++ names can have some ten thousand bytes.
const maxReportLine = 64 << 10

// Write takes everything: whoever writes is not to wait or to fail.
func (b *bounded) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0 && !b.cut && b.err == nil; {
		line := rest
		i := bytes.IndexByte(rest, '\n')
		if i >= 0 {
			line = rest[:i+1]
		}
		rest = rest[len(line):]
		b.line = append(b.line, line...)
		if b.cut = len(b.line) > maxReportLine || int64(len(b.line)) > b.left; b.cut || i < 0 {
			continue
		}
		if b.seen && len(b.about) < maxAbout {
			b.about = append(b.about, strings.TrimSuffix(string(b.line), "\n"))
		}
		b.seen = b.seen || b.watch != "" && bytes.HasPrefix(b.line, []byte(b.watch))
		var n int
		n, b.err = b.w.Write(b.line)
		b.left -= int64(n)
		b.written += int64(n)
		b.line = b.line[:0]
	}
	return len(data), nil
}
