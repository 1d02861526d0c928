package fetch

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/names/debugfile/debuginfod"
	"github.com/gatedso/bt/internal/testelf"
)

var buildID, _ = hex.DecodeString("00112233445566778899aabbccddeeff00112233")

// debugFile is an ELF file with a build ID.
func debugFile(id []byte) []byte {
	return testelf.File{
		BuildID:  id,
		Sections: []testelf.Section{{Name: ".filler", Data: make([]byte, 200<<10)}},
	}.Bytes()
}

// client returns a client with an empty cache.
func client(t *testing.T, urls ...string) *Client {
	t.Helper()
	c := NewClient(Config{
		URLs:    urls,
		Cache:   debuginfod.Cache{Dir: filepath.Join(t.TempDir(), "cache")},
		MaxSize: DefaultMaxSize,
		Note:    t.Logf,
	})
	t.Cleanup(c.Close)
	return c
}

// serve starts a server that counts its requests.
func serve(t *testing.T, h http.HandlerFunc) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// give answers with a file.
func give(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/buildid/"+hex.EncodeToString(buildID)+"/debuginfo" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Write(data)
	}
}

// leftovers lists files of the cache but those that are meant to be there.
func leftovers(t *testing.T, c *Client) (files []string) {
	t.Helper()
	filepath.WalkDir(c.Cache.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "debuginfo" {
			files = append(files, path)
		}
		return nil
	})
	return files
}

func TestFetch(t *testing.T) {
	want := debugFile(buildID)
	url, asked := serve(t, give(want))
	c := client(t, url+"/") // a slash at the end is one of the ways to write it
	for range 2 {
		path, err := c.Fetch(buildID)
		if err != nil {
			t.Fatal(err)
		}
		if path != filepath.Join(c.Cache.Dir, hex.EncodeToString(buildID), "debuginfo") {
			t.Errorf("path %s", path)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, not %d; %v", len(got), len(want), err)
		}
		st, _ := os.Stat(path)
		if st.Mode().Perm() != 0o400 || st.ModTime().UTC().Year() != 2006 {
			t.Errorf("mode %v, modified %v", st.Mode(), st.ModTime())
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if l := leftovers(t, c); l != nil {
		t.Error(l)
	}
}

// TestRefused has servers that answer, but not with what was asked for.
func TestRefused(t *testing.T) {
	good := debugFile(buildID)
	tests := []struct {
		name string
		h    http.HandlerFunc
		err  string
		down bool // not asked again
	}{
		{"wrong build ID", give(debugFile([]byte("another build ID 123"))), "build ID", false},
		{"no build ID", give(debugFile(nil)), "build ID", false},
		{"a web page", give([]byte("<html>this is a captive portal</html>")), "not an ELF file", false},
		{"empty", give(nil), "not an ELF file", false},
		{"truncated", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			w.Write(good[:len(good)/2])
		}, "EOF", false},
		{"forbidden", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }, "status 403", false},
		{"failing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, "status 503", true},
		{"redirect loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, "10 redirects", true},
		{"redirect to a file", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "unsupported protocol", true},
		{"huge, and says so", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			w.WriteHeader(200)
		}, "DEBUGINFOD_MAXSIZE", false},
		{"huge without an end", func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(good); err != nil {
					return
				}
			}
		}, "DEBUGINFOD_MAXSIZE", false},
		{"gzip bomb", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(make([]byte, 8<<20))
			z.Close()
		}, "DEBUGINFOD_MAXSIZE", false},
		{"broken gzip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("\x1f\x8b nonsense"))
		}, "gzip", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			url, asked := serve(t, test.h)
			c := client(t, url)
			c.MaxSize = 1 << 20
			path, err := c.Fetch(buildID)
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), url) {
				t.Errorf("%q, %v; want an error with %q", path, err, test.err)
			}
			before := asked.Load()
			c.Fetch(buildID)
			if again := asked.Load() != before; again == test.down {
				t.Errorf("asked again: %v", again)
			}
			if l := leftovers(t, c); l != nil {
				t.Error(l)
			}
			if _, err := c.Cache.Lookup(buildID); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the cache says %v", err)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	url, asked := serve(t, http.NotFound)
	c := client(t, url, url+"/second")
	if _, err := c.Fetch(buildID); !errors.Is(err, errNotFound) {
		t.Error(err)
	}
	if _, err := c.Fetch(buildID); err != debuginfod.ErrMiss || asked.Load() != 2 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
	// When the miss has expired the servers are asked again, and it is renewed.
	file := filepath.Join(c.Cache.Dir, hex.EncodeToString(buildID), "debuginfo")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	c.Fetch(buildID)
	if _, err := c.Fetch(buildID); err != debuginfod.ErrMiss || asked.Load() != 4 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
	// What one server denies and another cannot tell is not remembered.
	c = client(t, url, "http://127.0.0.1:1")
	c.Fetch(buildID)
	if _, err := c.Cache.Lookup(buildID); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestServersInOrder(t *testing.T) {
	none, _ := serve(t, http.NotFound)
	wrong, _ := serve(t, give(debugFile([]byte("another build ID 123"))))
	right, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if to := "/moved" + r.URL.Path; !strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, to, http.StatusMovedPermanently)
			return
		}
		w.Write(debugFile(buildID))
	})
	if path, err := client(t, "http://127.0.0.1:1", "gopher://x", "http://%", none, wrong, right).Fetch(buildID); err != nil {
		t.Error(path, err)
	}
}

// TestSlow has servers that accept, or begin, and then say nothing.
func TestSlow(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	stop := make(chan struct{})
	defer close(stop)
	begins, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(debugFile(buildID)[:100])
		w.(http.Flusher).Flush()
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	drips, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	for _, test := range []struct {
		url          string
		stall, total time.Duration
		err          error
	}{
		{"http://" + silent.Addr().String(), 50 * time.Millisecond, time.Minute, errStalled},
		{begins, 50 * time.Millisecond, time.Minute, errStalled},
		{drips, time.Minute, 200 * time.Millisecond, errTooLong},
	} {
		c := client(t, test.url)
		c.Stall, c.Total = test.stall, test.total
		if path, err := c.Fetch(buildID); !errors.Is(err, test.err) {
			t.Errorf("%q, %v; want %v", path, err, test.err)
		}
		if _, err := c.Fetch(buildID); err == nil || !strings.Contains(err.Error(), "not asked again") {
			t.Error(err)
		}
		if l := leftovers(t, c); l != nil {
			t.Error(l)
		}
	}
}

// TestTLS wants a certificate that somebody vouches for, and what is fetched by
// TLS to stay so.
func TestTLS(t *testing.T) {
	plain, _ := serve(t, give(debugFile(buildID)))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain+r.URL.Path, http.StatusFound)
	}))
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	c := client(t, s.URL)
	if _, err := c.Fetch(buildID); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
	c = client(t, s.URL)
	c.http.Transport = s.Client().Transport // trusts the server
	if _, err := c.Fetch(buildID); err == nil || !strings.Contains(err.Error(), "https to http") {
		t.Error(err)
	}
}

func TestFileURL(t *testing.T) {
	dir := t.TempDir()
	c := client(t, "file://"+dir)
	if _, err := c.Fetch(buildID); !errors.Is(err, errNotFound) {
		t.Error(err)
	}
	os.RemoveAll(c.Cache.Dir)
	sub := filepath.Join(dir, "buildid", hex.EncodeToString(buildID))
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sub+"/debuginfo", debugFile(buildID), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(buildID); err != nil {
		t.Error(err)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	c := client(t, "http://user:secret@127.0.0.1:1")
	if _, err := c.Fetch(buildID); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	c := &Client{Config: Config{Progress: &out}}
	w := c.watch(func(error) {})
	data := w.counting(3e6)
	data.Write(make([]byte, 1e6))
	if out.Len() != 0 {
		t.Errorf("progress of a short download: %q", &out)
	}
	w.begun = w.begun.Add(-2 * time.Second)
	data.Write(make([]byte, 1e6))
	w.stop()
	if s := out.String(); !strings.Contains(s, "2.0 of 3.0 MB") || !strings.HasSuffix(s, "\r\x1b[K") {
		t.Errorf("%q", s)
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{"DEBUGINFOD_URLS": " http://a  http://b/ ", "DEBUGINFOD_TIMEOUT": "7", "DEBUGINFOD_MAXTIME": "-1",
		"DEBUGINFOD_MAXSIZE": "x", "DEBUGINFOD_CACHE_PATH": "/c"}
	c := FromEnv(func(k string) string { return env[k] })
	if len(c.URLs) != 2 || c.Stall != 7*time.Second || c.Total != 0 || c.MaxSize != DefaultMaxSize || c.Cache.Dir != "/c" || c.Progress != nil {
		t.Errorf("%+v", c)
	}
}

// TestServe talks to Serve as debuginfod.Helper does.
func TestServe(t *testing.T) {
	url, _ := serve(t, give(debugFile(buildID)))
	c := client(t, url).Config
	in := fmt.Sprintf("%x\nnonsense\n%x\n\n", buildID, buildID[:19])
	var out bytes.Buffer
	// The input must not end before the answers have come.
	r, w := io.Pipe()
	go func() {
		io.WriteString(w, in)
		io.WriteString(w, "00\n") // taken when the one before is answered
		w.Close()
	}()
	if err := Serve(c, r, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) < 4 || lines[0] != "ready " || !strings.HasPrefix(lines[1], "miss ") ||
		!strings.HasPrefix(lines[2], "miss ") || !strings.Contains(lines[2], "not found") {
		t.Errorf("%q", lines)
	}
}
