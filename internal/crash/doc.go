// Package crash is bt as the kernel's core dump handler (kernel.core_pattern):
// it installs itself there, takes a crashed process's core from the kernel, has
// a report written of it, and keeps the reports.
//
// The handler is started by the kernel, as root, for every process that dies of
// a signal with a core, whoever owns it: all that it sees of the process may
// have been made to harm it. It is therefore two processes. The first (Handler)
// is root. It opens what only root can, by ways that the crashed process has no
// hand in, and parses nothing but text of procfs. The second (the worker, see
// Confine and package report) gets these open files, gives up root for good,
// and only then reads the core and the mapped files. What it writes goes
// through a pipe to the first, which bounds it and puts it into the directory.
package crash

import "time"

// DefaultDir is where reports are kept.
const DefaultDir = "/var/lib/bt/crashes"

// Request is what the kernel tells of a crash.
type Request struct {
	PID    int // in the initial PID namespace (%P)
	TID    int // the thread that died (%I)
	Signal int
	Dump   int // how it may be dumped (%d, PR_GET_DUMPABLE); for the handler before bt
	Pidfd  int // a descriptor that stands for the process (%F); 0 where the kernel gives none
	UID    int // the real user ID
	GID    int
	Time   time.Time
	Name   string // the thread's command name, chosen by the process
}

// Limits bound what crashes may take.
type Limits struct {
	MaxReports int           `json:"max_reports"`
	MaxBytes   int64         `json:"max_bytes"` // of all reports together
	Timeout    time.Duration `json:"timeout"`   // for one report, in nanoseconds
	Handlers   int           `json:"handlers"`  // reports that are made at the same time
}

// DefaultLimits are those where nothing else is said.
var DefaultLimits = Limits{MaxReports: 100, MaxBytes: 100 << 20, Timeout: time.Minute, Handlers: 4}

// maxReport bounds one report, in bytes: a thousand threads' stacks have some.
const maxReport = 8 << 20
