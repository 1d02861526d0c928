package fetch

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/names/debugfile/debuginfod"
)

// Client is a debugfile.Fetcher. Its methods are safe for concurrent use.
type Client struct {
	Config
	http *http.Client

	ctx   context.Context // of all downloads
	close context.CancelFunc

	mu   sync.Mutex
	down map[string]bool // servers that are not asked again
}

// NewClient returns a client of the servers in c.URLs.
func NewClient(c Config) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	return &Client{
		Config: c,
		http:   &http.Client{CheckRedirect: checkRedirect},
		ctx:    ctx,
		close:  cancel,
		down:   make(map[string]bool),
	}
}

// Close makes downloads that are going on, and those that follow, fail.
func (c *Client) Close() { c.close() }

// checkRedirect keeps net/http's limit of ten and what TLS promised. net/http
// itself follows to http and https only.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirected from https to " + req.URL.Scheme)
	}
	return nil
}

// errNotFound is a server's answer that it does not have the file.
var errNotFound = errors.New("not found")

// unavailable wraps an error that makes asking the same server again useless.
type unavailable struct{ error }

func (u unavailable) Unwrap() error { return u.error }

// Fetch returns the path of the debug file for buildID in the cache, where it
// puts it if a server has it. The error says what each server answered.
func (c *Client) Fetch(buildID []byte) (string, error) {
	if len(buildID) < 2 || len(buildID) > 64 {
		return "", fmt.Errorf("not a build ID: %x", buildID)
	}
	path, err := c.Cache.Lookup(buildID)
	if err == nil || err == debuginfod.ErrMiss {
		return path, err
	}
	var errs []error
	missing := 0
	for _, server := range c.URLs {
		if c.isDown(server) {
			errs = append(errs, fmt.Errorf("%s: not asked again", redacted(server)))
			continue
		}
		path, err := c.from(server, buildID)
		if err == nil {
			return path, nil
		}
		err = fmt.Errorf("%s: %w", redacted(server), err)
		if errors.Is(err, errNotFound) {
			missing++
		} else if c.Note != nil {
			c.Note("%v", err)
		}
		if errors.As(err, new(unavailable)) {
			c.setDown(server)
		}
		errs = append(errs, err)
	}
	// As in elfutils, only what all servers deny is remembered.
	if missing == len(c.URLs) && missing > 0 {
		if err := c.Cache.Miss(buildID); err != nil && c.Note != nil {
			c.Note("cannot remember a miss: %v", err)
		}
	}
	if len(errs) == 0 {
		return "", errors.New("no servers")
	}
	return "", errors.Join(errs...)
}

// redacted is a server's URL without its password.
func redacted(server string) string {
	if u, err := url.Parse(server); err == nil {
		return u.Redacted()
	}
	return strconv.Quote(server)
}

func (c *Client) isDown(server string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down[server]
}

func (c *Client) setDown(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down[server] = true
}

// from downloads one file from one server.
func (c *Client) from(server string, buildID []byte) (string, error) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	w := c.watch(cancel)
	defer w.stop()

	body, err := c.get(ctx, strings.TrimSuffix(server, "/")+"/buildid/"+hex.EncodeToString(buildID)+"/debuginfo")
	if err != nil {
		return "", because(ctx, err)
	}
	defer body.Close()
	if c.MaxSize > 0 && body.size > c.MaxSize {
		return "", fmt.Errorf("%d bytes are more than DEBUGINFOD_MAXSIZE", body.size)
	}
	tmp, err := c.Cache.Create(buildID)
	if err != nil {
		return "", err
	}
	path, err := c.store(tmp, body, w, buildID)
	if err != nil {
		tmp.Close()
		os.Remove(tmp.Name())
		return "", because(ctx, err)
	}
	return path, nil
}

// because prefers the reason for which ctx was cancelled to the error that
// this led to: a server that is too slow is so the next time as well.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return unavailable{cause}
	}
	return err
}

// store copies a body into tmp and keeps it if it is what was asked for.
func (c *Client) store(tmp *os.File, b *body, w *watch, buildID []byte) (string, error) {
	var src io.Reader = b
	if c.MaxSize > 0 {
		src = io.LimitReader(b, c.MaxSize+1)
	}
	n, err := io.Copy(io.MultiWriter(tmp, w.counting(b.size)), src)
	switch {
	case err != nil:
		return "", err
	case c.MaxSize > 0 && n > c.MaxSize:
		return "", errors.New("more bytes than DEBUGINFOD_MAXSIZE")
	}
	im, err := elfsym.Open(tmp, "answer")
	if err != nil {
		return "", err
	}
	defer im.Close()
	if id := im.BuildID(); !bytes.Equal(id, buildID) {
		return "", fmt.Errorf("answer has build ID %x, not %x", id, buildID)
	}
	return c.Cache.Keep(buildID, tmp, b.modified)
}

// body is an answer. size is -1 where it is not known.
type body struct {
	io.ReadCloser
	size     int64
	modified time.Time
}

func (c *Client) get(ctx context.Context, addr string) (*body, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	switch u.Scheme {
	case "http", "https":
		return c.getHTTP(ctx, addr)
	case "file": // a tree of files with the paths of a server, as elfutils reads it
		return getFile(u.Path)
	}
	return nil, unavailable{fmt.Errorf("cannot read %q URLs", u.Scheme)}
}

func (c *Client) getHTTP(ctx context.Context, addr string) (*body, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	req.Header.Set("User-Agent", "bt")
	if c.MaxSize > 0 {
		req.Header.Set("X-DEBUGINFOD-MAXSIZE", strconv.FormatInt(c.MaxSize, 10))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, whose server the caller names
		}
		return nil, unavailable{err}
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		b := &body{ReadCloser: resp.Body, size: resp.ContentLength}
		b.modified, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
		return b, nil
	case resp.StatusCode == http.StatusNotFound:
		err = errNotFound
	default:
		err = fmt.Errorf("status %d", resp.StatusCode)
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			err = unavailable{err}
		}
	}
	resp.Body.Close()
	return nil, err
}
