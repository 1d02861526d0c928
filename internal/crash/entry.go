//go:build linux

package crash

import (
	"encoding/json"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/fault"
)

// The values of Options.Format: what an entry of the log is.
const (
	FormatText = "text" // a line
	FormatJSON = "json" // a JSON object in a line, with the report
)

// logSchema is what FormatJSON keeps to: see docs/schema.
const logSchema = "https://github.com/gatedso/bt/raw/main/docs/schema/crash-log-1.json"

// maxLogged bounds the part of a report that goes into an entry, in bytes. The file has
// all.
const maxLogged = 1 << 20

// entry is what the log has of a crash, or of something else that bt has to say: then
// PID is 0. All texts are escaped.
type entry struct {
	Schema    string    `json:"$schema"`
	Time      time.Time `json:"time"`
	Host      string    `json:"host,omitempty"`
	Message   string    `json:"message"`
	PID       int       `json:"pid,omitempty"`
	TID       int       `json:"tid,omitempty"`
	UID       *int      `json:"uid,omitempty"` // nil where PID is 0
	GID       *int      `json:"gid,omitempty"`
	Signal    int       `json:"signal,omitempty"`
	SigName   string    `json:"signal_name,omitempty"`
	Name      string    `json:"name,omitempty"`
	Exe       string    `json:"exe,omitempty"`
	Command   string    `json:"command,omitempty"`
	Cgroup    string    `json:"cgroup,omitempty"`
	Unit      string    `json:"unit,omitempty"`
	Container string    `json:"container,omitempty"`
	Runtime   string    `json:"container_runtime,omitempty"`
	Problems  []string  `json:"problems,omitempty"`
	File      string    `json:"file,omitempty"`
	Report    string    `json:"report,omitempty"`
	Version   string    `json:"version,omitempty"` // of bt
}

// entry begins the entry of the crash with what the kernel has told.
func (h *Handler) entry() *entry {
	r := &h.Request
	host, _ := os.Hostname()
	return &entry{
		Time: r.Time.UTC(), Host: escape.Name(host), PID: r.PID, TID: r.TID, UID: &r.UID, GID: &r.GID,
		Signal: r.Signal, SigName: fault.SignalName(r.Signal), Name: escape.Name(r.Name), Version: h.Version,
	}
}

// about adds what /proc has told, once it is certain that this was the crashed process.
func (e *entry) about(p *process) {
	e.Exe, e.Command, e.Cgroup = escape.Name(p.exe), p.cmdline, escape.Name(p.cgroup)
	e.Unit = escape.Name(unitOf(p.cgroup))
	id, runtime := containerOf(p.cgroup)
	e.Container, e.Runtime = escape.Name(id), runtime
}

// unitOf is the unit of systemd's that a control group belongs to, "" if it is none's: the
// innermost part of its path that is a service or a scope.
func unitOf(cgroup string) string {
	for ; cgroup != "" && cgroup != "/" && cgroup != "."; cgroup = path.Dir(cgroup) {
		if name := path.Base(cgroup); strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") {
			return name
		}
	}
	return ""
}

// json is the entry as an object in one line.
func (e *entry) json() []byte {
	out := *e
	out.Schema = logSchema
	data, err := json.Marshal(&out)
	if err != nil { // there is nothing in it that has no JSON
		data, _ = json.Marshal(map[string]string{"$schema": logSchema, "message": e.Message})
	}
	return data
}

// messageID is the MESSAGE_ID of a crash (sd_journal_print(3)): bt's own, so that
// coredumpctl does not look for a core that was not kept.
const messageID = "7260b43bf1b749ab9ded1cc31dadd34b"

// journal is the entry in the journal's protocol. Fields that systemd-coredump has, too,
// are called as there (systemd.journal-fields(7), coredumpctl(1)). With asJSON the
// message is the object, which has the report.
func (e *entry) journal(asJSON bool) []byte {
	var b []byte
	add := func(name, value string) {
		if value != "" {
			b = appendField(b, name, value)
		}
	}
	message, report := e.Message, e.Report
	if asJSON {
		message, report = string(e.json()), ""
	}
	add("MESSAGE", message)
	add("PRIORITY", strconv.Itoa(priority&7))
	add("SYSLOG_FACILITY", strconv.Itoa(priority>>3))
	add("SYSLOG_IDENTIFIER", "bt")
	add("SYSLOG_PID", strconv.Itoa(os.Getpid()))
	if e.PID == 0 {
		return b
	}
	add("MESSAGE_ID", messageID)
	add("COREDUMP_PID", strconv.Itoa(e.PID))
	add("COREDUMP_TID", strconv.Itoa(e.TID))
	add("COREDUMP_UID", strconv.Itoa(*e.UID))
	add("COREDUMP_GID", strconv.Itoa(*e.GID))
	add("COREDUMP_SIGNAL", strconv.Itoa(e.Signal))
	add("COREDUMP_SIGNAL_NAME", e.SigName)
	add("COREDUMP_TIMESTAMP", strconv.FormatInt(e.Time.UnixMicro(), 10))
	add("COREDUMP_HOSTNAME", e.Host)
	add("COREDUMP_COMM", e.Name)
	add("COREDUMP_EXE", e.Exe)
	add("COREDUMP_CMDLINE", e.Command)
	add("COREDUMP_CGROUP", e.Cgroup)
	add("COREDUMP_UNIT", e.Unit)
	add("BT_CONTAINER", e.Container)
	add("BT_CONTAINER_RUNTIME", e.Runtime)
	for _, p := range e.Problems {
		add("BT_PROBLEM", p)
	}
	add("BT_VERSION", e.Version)
	add("BT_REPORT_FILE", e.File)
	add("BT_REPORT", report)
	return b
}
