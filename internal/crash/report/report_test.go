//go:build linux

package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/crash"
	"github.com/gatedso/bt/internal/testcore"
)

const mapsText = "00400000-00401000 r-xp 00000000 00:00 7 /prog\x1b[2J\n" +
	"7ffc00000000-7ffc00002000 rw-p 00000000 00:00 0 [stack]\n"

func job() *crash.Job {
	return &crash.Job{
		Request: crash.Request{PID: 4000, TID: 41, Signal: 11},
		Name:    "/prog\x1b",
		Maps:    []byte(mapsText),
		Threads: map[int]string{42: "worker\n"},
		Timeout: time.Minute,
	}
}

// small is a core with two threads, whose stacks end at once.
func small() *testcore.Core {
	c := new(testcore.Core)
	c.Notes = append(c.Notes, c.AMD64(41, 11, 0x400010, 0x7ffc00000100), c.AMD64(42, 0, 0x400020, 0x7ffc00000200))
	c.Loads = []testcore.Load{{Addr: 0x7ffc00000000, Filesz: 0x2000, Flags: 6}}
	return c
}

func TestWrite(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, small().Reader(), job()); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	at := 0
	for _, want := range []string{
		fmt.Sprintf("# crash read by user %d group %d\n", os.Getuid(), os.Getgid()),
		"# process 4000 /prog\\x1b\n",
		"# killed by SIGSEGV",
		"00400000-00401000 r-xp 00000000 00:00 7                                  /prog\\x1b[2J\n",
		"# thread 41 \"\"\n0000000000400010\n",
		"# thread 42 \"worker\\x0a\"\n0000000000400020\n",
	} {
		i := strings.Index(got[at:], want)
		if i < 0 {
			t.Fatalf("no %q, in this order, in\n%s", want, got)
		}
		at += i + len(want)
	}
}

// slow is a stream that is never done.
type slow struct{}

func (slow) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return 1, nil
}

// A core that is not at its end when most of the time is over is left there.
func TestSlowCore(t *testing.T) {
	core := small()
	core.Loads[0].Filesz = 1 << 40
	j := job()
	j.Timeout = 100 * time.Millisecond
	var out bytes.Buffer
	whole := io.LimitReader(core.Reader(), 1<<12)
	if err := Write(&out, io.MultiReader(whole, slow{}), j); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "# crash problem: the core: reading stopped after ") || !strings.Contains(got, "\n# thread 42 ") {
		t.Errorf("%s", got)
	}
}

func FuzzWrite(f *testing.F) {
	f.Add(small().Bytes()[:4096], []byte(mapsText))
	f.Add([]byte{}, []byte(mapsText))
	f.Add([]byte("\x7fELF"), []byte("x"))
	f.Fuzz(func(t *testing.T, core, maps []byte) {
		j := job()
		j.Maps = maps
		var out bytes.Buffer
		if err := Write(&out, bytes.NewReader(core), j); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Bytes() {
			if c < ' ' && c != '\n' || c == 0x7f {
				t.Fatalf("%q", out.String())
			}
		}
	})
}
