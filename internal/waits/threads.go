//go:build linux

package waits

import (
	"strconv"

	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/stack"
)

// maxLocal is how many threads are asked what the process itself calls them.
const maxLocal = 1 << 16

// localTIDs maps the numbers that threads have in the process's PID namespace to those
// of procfs; nil where they are the same.
func (r *reader) localTIDs(dir procfs.Dir) map[int]int {
	st, err := dir.Status("status")
	if err != nil || len(st.NSpid()) < 2 {
		return nil
	}
	ids := make(map[int]int, len(r.tids))
	for i, tid := range r.tids {
		if i == maxLocal {
			break
		}
		st, err := dir.Status("task/" + strconv.Itoa(tid) + "/status")
		if ns := st.NSpid(); err == nil && len(ns) > 1 {
			ids[ns[len(ns)-1]] = tid
		}
	}
	return ids
}

// owner is the living thread whose number an object in memory records. shared says that
// it may be of another process.
func (r *reader) owner(tid int, shared bool) (p stack.Party, ok bool) {
	if r.local != nil {
		if tid, ok = r.local[tid]; !ok {
			return p, false
		}
	}
	if r.alive[tid] {
		return stack.Party{TID: tid, Name: r.threadName(tid)}, true
	}
	if !shared || r.files == nil || tid <= 0 {
		return p, false
	}
	dir, err := procfs.OpenPID(r.run.procfs, tid)
	if err != nil {
		return p, false
	}
	defer dir.Close()
	st, err := dir.Status("status")
	if pid := st.Int("Tgid"); err == nil && pid > 0 {
		return stack.Party{PID: pid, TID: tid, Name: st["Name"]}, true
	}
	return p, false
}

// threadName is the name of a thread of the process.
func (r *reader) threadName(tid int) string {
	if name, ok := r.comm[tid]; ok {
		return name
	}
	if r.files == nil {
		return ""
	}
	name, _ := r.files.dir.Comm("task/" + strconv.Itoa(tid) + "/comm")
	r.comm[tid] = name
	return name
}
