package testenv

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Debuginfod runs Debian's debuginfod on a free port of loopback, over the
// files below a directory, until t ends. It returns once the server knows the
// debug file of a build ID.
func Debuginfod(t testing.TB, files string, id []byte) (url string) {
	t.Helper()
	Need(t, "debuginfod", "debuginfod")
	for range 5 {
		s := httptest.NewServer(http.NotFoundHandler()) // to find a free port
		url = s.URL
		s.Close()
		cmd := exec.Command("debuginfod", "-d", filepath.Join(t.TempDir(), "db.sqlite"), "-F", "-p", url[strings.LastIndex(url, ":")+1:], files)
		cmd.Env = append(os.Environ(), "DEBUGINFOD_URLS=") // asks no other server
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			cmd.Wait()
			close(ended)
		}()
		t.Cleanup(func() {
			cmd.Process.Kill()
			<-ended // before the directory of its database goes
		})
		for range 600 {
			resp, err := http.Get(fmt.Sprintf("%s/buildid/%x/debuginfo", url, id))
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return url
				}
			}
			select {
			case <-ended: // somebody else has taken the port
			case <-time.After(50 * time.Millisecond):
				continue
			}
			break
		}
	}
	t.Fatal("debuginfod does not come up")
	return ""
}
