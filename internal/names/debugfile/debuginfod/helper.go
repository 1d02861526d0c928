package debuginfod

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// HelperName is the program that downloads. It stands beside bt or on the PATH.
const HelperName = "bt-debuginfod"

// Helper is a debugfile.Fetcher that looks into the cache itself and has a
// helper program download what is not there: see fetch.Serve. Its methods are
// safe for concurrent use. The exported fields must not change once it is used.
type Helper struct {
	Cache    Cache
	URLs     []string // of the servers; with none, only the cache is asked
	Path     string   // of the program; "" for HelperName
	Env      []string // more environment variables for it
	Progress *os.File // receives the progress of long downloads, unless nil
	Note     func(format string, args ...any)

	mu   sync.Mutex // one request at a time
	cmd  *exec.Cmd
	stop atomic.Bool
	proc atomic.Pointer[os.Process] // of cmd
	in   io.WriteCloser
	out  *bufio.Reader
	dead error // why there is no helper
}

// Fetch implements debugfile.Fetcher.
func (h *Helper) Fetch(buildID []byte) (path string, err error) {
	path, err = h.Cache.Lookup(buildID)
	if err == nil || err == ErrMiss || len(h.URLs) == 0 {
		return path, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop.Load() {
		return "", os.ErrClosed
	}
	if h.cmd == nil && h.dead == nil {
		h.dead = h.start()
	}
	if h.dead != nil {
		return "", h.dead
	}
	path, err = h.ask(buildID)
	if errors.Is(err, errHelper) {
		h.dead = err
	}
	return path, err
}

var errHelper = errors.New(HelperName + " ended or answered nonsense")

// ask sends a build ID as a line and reads lines up to the answer.
func (h *Helper) ask(buildID []byte) (string, error) {
	if _, err := fmt.Fprintf(h.in, "%x\n", buildID); err != nil {
		return "", errHelper
	}
	for range 100 {
		line, err := h.out.ReadSlice('\n')
		if err != nil {
			return "", errHelper
		}
		verb, text, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		switch verb {
		case "note":
			if h.Note != nil {
				h.Note("debuginfod: %s", text)
			}
		case "ready":
			return h.Cache.Lookup(buildID)
		case "miss":
			return "", errors.New(text)
		default:
			return "", errHelper
		}
	}
	return "", errHelper
}

// start runs the helper.
func (h *Helper) start() error {
	path, err := h.find()
	if err != nil {
		return fmt.Errorf("%s, which downloads, is neither beside bt nor on the PATH: only the cache is used", HelperName)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(),
		"DEBUGINFOD_URLS="+strings.Join(h.URLs, " "),
		"DEBUGINFOD_CACHE_PATH="+h.Cache.Dir)
	if h.Progress != nil {
		cmd.Env = append(cmd.Env, "DEBUGINFOD_PROGRESS=1")
		cmd.Stderr = h.Progress
	}
	cmd.Env = append(cmd.Env, h.Env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	h.proc.Store(cmd.Process)
	if h.stop.Load() { // meanwhile
		cmd.Process.Kill()
	}
	h.cmd, h.in, h.out = cmd, in, bufio.NewReaderSize(out, 16<<10)
	return nil
}

func (h *Helper) find() (string, error) {
	if h.Path != "" {
		return h.Path, nil
	}
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		path := filepath.Join(filepath.Dir(self), HelperName)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return exec.LookPath(HelperName)
}

// Stop ends a download that goes on, which then fails as all that follow do. It may
// be called beside every other method.
func (h *Helper) Stop() {
	h.stop.Store(true)
	if p := h.proc.Load(); p != nil {
		p.Kill() // does nothing to one that has been waited for
	}
}

// Close ends the helper, which notices the end of its input at once. Without
// Close it ends when bt does.
func (h *Helper) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cmd == nil {
		return nil
	}
	h.in.Close()
	err := h.cmd.Wait()
	h.cmd, h.dead = nil, os.ErrClosed
	return err
}
