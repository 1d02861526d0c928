package image

import (
	"container/list"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
)

// maxIdle bounds the images that a Cache keeps open although no Space uses them:
// those of a process that is looked at again, or that another one shares.
const maxIdle = 256

// Cache holds opened images by file, so that processes that share a library
// share its image. A file that was replaced or written to is another one. An
// image stays open while a Space uses it, and the last 256 longer than that. The
// zero value is ready; it is safe for concurrent use.
type Cache struct {
	mu     sync.Mutex
	images map[fileID]*cached
	idle   list.List // of *cached; the one that has been idle for the longest is first
}

// fileID tells files apart, and a file from what it was before it was written to.
type fileID struct {
	dev, ino   uint64
	size       int64
	sec, nanos int64 // of the last modification
}

// cached is an image of a Cache.
type cached struct {
	id   fileID
	uses int           // by Spaces
	idle *list.Element // in Cache.idle, if no Space uses it

	once  sync.Once
	image *Image
	err   error
}

// idOf identifies an open file.
func idOf(f *os.File) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileID{}, err
	}
	return fileID{uint64(st.Dev), st.Ino, st.Size, int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}, nil
}

// open returns the image of f, which it closes. The caller must release it.
func (c *Cache) open(f *os.File, name string) (*cached, error) {
	defer f.Close()
	id, err := idOf(f)
	if err != nil {
		return nil, err
	}
	e := c.entry(id)
	e.once.Do(func() { // without the lock: opening can wait for a disk
		e.err = errors.New("it could not be opened")
		var im *elfsym.Image
		if im, e.err = elfsym.Open(f, name); e.err == nil {
			e.image = NewImage(im)
		}
	})
	if e.err != nil {
		c.release(e)
		return nil, e.err
	}
	return e, nil
}

// entry returns the entry of a file for one more use.
func (c *Cache) entry(id fileID) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.images[id]
	if e == nil {
		if c.images == nil {
			c.images = make(map[fileID]*cached)
		}
		e = &cached{id: id}
		c.images[id] = e
	}
	if e.idle != nil {
		c.idle.Remove(e.idle)
		e.idle = nil
	}
	e.uses++
	return e
}

// release ends a use. What its last user has released is open for some time.
func (c *Cache) release(e *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.uses--; e.uses > 0 {
		return
	}
	if e.err != nil {
		c.drop(e)
		return
	}
	e.idle = c.idle.PushBack(e)
	if c.idle.Len() > maxIdle {
		old := c.idle.Remove(c.idle.Front()).(*cached)
		c.drop(old)
		old.image.Close()
	}
}

// drop forgets an entry.
func (c *Cache) drop(e *cached) {
	if c.images[e.id] == e {
		delete(c.images, e.id)
	}
}
