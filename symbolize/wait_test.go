//go:build unix

package symbolize

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/testelf"
)

// slowServer answers for one build ID when it is told to.
type slowServer struct {
	slow    string
	asked   chan struct{}
	release chan struct{}
	mu      sync.Mutex
	times   map[string]int
}

func (s *slowServer) Fetch(id []byte) (string, error) {
	s.mu.Lock()
	s.times[string(id)]++
	s.mu.Unlock()
	if string(id) == s.slow {
		s.asked <- struct{}{}
		<-s.release
	}
	return "", errors.New("not there")
}

// While the debug file of one image is downloaded others are named; who asks for
// the same image waits, and nobody asks the server again.
func TestSlowDownload(t *testing.T) {
	open := func(id string) *image.Image {
		f := testelf.File{BuildID: []byte(id), Sections: []testelf.Section{
			{Name: ".text", Flags: testelf.TextFlags, Addr: 0x1000, Data: make([]byte, 64)}}}
		im, err := elfsym.New(f.Bytes(), id)
		if err != nil {
			t.Fatal(err)
		}
		return image.NewImage(im)
	}
	slow, fast := open("slow"), open("fast")
	server := &slowServer{slow: "slow", asked: make(chan struct{}, 9), release: make(chan struct{}), times: map[string]int{}}
	s := NewForImage(Options{Debug: &debugfile.Finder{Debuginfod: server}})

	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { s.namesOf(slow, nil) })
	}
	<-server.asked
	named := make(chan struct{})
	go func() {
		s.namesOf(fast, nil)
		close(named)
	}()
	select {
	case <-named:
	case <-time.After(time.Minute):
		t.Error("an image waits for the download of another one's debug file")
	}
	close(server.release)
	wg.Wait()
	<-named
	if server.times["slow"] != 1 || server.times["fast"] != 1 {
		t.Errorf("the server was asked %v", server.times)
	}
}
