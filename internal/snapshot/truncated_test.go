//go:build linux

package snapshot

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// A library whose code no thread runs while it waits, so that the process
// survives what is done to the file.
const (
	through = `void through(void (*f)(void)) { f(); __asm__ volatile(""); }
`
	below = `#include <stdio.h>
#include <unistd.h>
void through(void (*f)(void));
static void wait_here(void) { alarm(300); puts("ready"); fflush(stdout); for (;;) pause(); }
int main(void) { through(wait_here); return 0; }
`
)

// startThrough starts a program that waits below a frame of a library, and
// returns the path of the library.
func startThrough(t *testing.T) (p *live.Process, lib string) {
	t.Helper()
	dir := t.TempDir()
	lib = filepath.Join(dir, "libthrough.so")
	compile(t, lib, through, "-shared", "-fPIC")
	exe := filepath.Join(dir, "prog")
	compile(t, exe, below, lib, "-Wl,-z,now") // ld.so reads the library's symbols before main
	return ready(t, exec.Command(exe)), lib
}

// TestTruncatedInStop cuts a mapped file to nothing after its headers have been
// read and before the walk that is made while the process stands still.
func TestTruncatedInStop(t *testing.T) {
	p, lib := startThrough(t)
	text, err := p.Maps()
	if err != nil {
		t.Fatal(err)
	}
	mm, err := maps.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	space := image.NewSpace(mm, Source(p, ""), new(image.Cache))
	for _, m := range space.Modules() {
		m.Image()
	}
	if err := os.Truncate(lib, 0); err != nil {
		t.Fatal(err)
	}
	w := walkers{code: space}
	var frames int
	_, err = p.Snapshot(mm, live.Options{Arches: all.Native(), WalkAll: true, Walk: func(th *process.Thread, m unwind.Memory) {
		frames = len(w.walk(th, m, 0).Frames)
	}})
	if err != nil {
		t.Fatal(err)
	}
	// pause, wait_here, and the place in the library that it returns to.
	if frames < 3 {
		t.Errorf("%d frames", frames)
	}
}

// TestTruncatedAnyTime cuts the file and mends it again while bt looks at the
// process over and over.
func TestTruncatedAnyTime(t *testing.T) {
	p, lib := startThrough(t)
	data, err := os.ReadFile(lib)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(lib, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			f.Truncate(int64(i % 4 * 4096))
			time.Sleep(time.Duration(i%7) * 100 * time.Microsecond)
			f.WriteAt(data, 0)
			time.Sleep(time.Duration(i%5) * 100 * time.Microsecond)
		}
	})
	defer wg.Wait()
	defer close(stop)
	for i := range 200 {
		s, _, err := take(p, Options{Cache: new(image.Cache), Source: Source(p, "")}, attempt{walkAll: true, mapsInStop: i%2 == 0}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Threads) != 1 || len(s.Threads[0].Stack.Frames) < 2 {
			t.Errorf("%+v", s.Threads)
		}
		s.Close()
	}
}
