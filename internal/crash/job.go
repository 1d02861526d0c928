//go:build linux

package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Job is what the worker is given. The core is its standard input, and the
// report its standard output.
type Job struct {
	Request Request
	Name    string         // of the process, for people
	Maps    []byte         // /proc/PID/maps; empty if the process is gone
	Files   []mapped       // mapped files, whose descriptors follow the job's
	Threads map[int]string // names by TID
	Timeout time.Duration  // for all of the work
	// About are lines for the report's head that /proc told, escaped. They are
	// written once the maps were compared with the core.
	About []string
	// UID and GID are the worker's own, see workerIDs.
	UID, GID int
}

// jobFile is the worker's descriptor of its Job; those of the mapped files
// follow.
const jobFile = 3

// maxJob bounds an encoded Job, in bytes.
const maxJob = 4 * maxMaps

// send puts the job into memory that a file stands for.
func (j *Job) send() (*os.File, error) {
	data, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("job", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "job")
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadJob takes the worker's job over. It must be the first that opens a file.
func ReadJob() (*Job, error) {
	var st unix.Stat_t
	if unix.Fstat(jobFile, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("there is no job: bt crash handle gives it")
	}
	f := os.NewFile(jobFile, "job")
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJob))
	if err != nil {
		return nil, err
	}
	j := new(Job)
	if err := json.Unmarshal(data, j); err != nil {
		return nil, fmt.Errorf("the job: %w", err)
	}
	for i := range j.Files {
		unix.CloseOnExec(jobFile + 1 + i)
	}
	return j, nil
}

// Open opens again the mapped file of that device and inode. The caller closes
// it.
func (j *Job) Open(dev, inode uint64) (*os.File, error) {
	for i := range j.Files {
		if j.Files[i].Dev != dev || j.Files[i].Inode != inode {
			continue
		}
		fd, err := unix.FcntlInt(uintptr(jobFile+1+i), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), "mapped file"), nil
	}
	return nil, os.ErrNotExist
}
