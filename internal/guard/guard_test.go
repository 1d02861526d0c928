//go:build unix

package guard

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// truncated returns the mapped bytes of a file that has been cut to nothing.
func truncated(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := Map(f, 8192)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Unmap(b) })
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

var sink byte

func readFirst(b []byte) func() error {
	return func() error { sink += b[0]; return nil }
}

func TestFaultIsAMiss(t *testing.T) {
	b := truncated(t)
	if err := Read(readFirst(b)); err != ErrFault {
		t.Errorf("Read: %v", err)
	}
	// On any goroutine, and after another fault.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if err := Read(readFirst(b)); err != ErrFault {
					t.Errorf("Read on a goroutine: %v", err)
				}
			}
		})
	}
	wg.Wait()
	// The innermost Read tells.
	err := Read(func() error {
		if err := Read(readFirst(b)); err != ErrFault {
			t.Errorf("inner Read: %v", err)
		}
		return Read(readFirst(b[4096:]))
	})
	if err != ErrFault {
		t.Errorf("outer Read: %v", err)
	}
	// A library's reader hits the end of the file, too.
	if err := Read(func() error { return Library(readFirst(b)) }); err != ErrFault {
		t.Errorf("Library within Read: %v", err)
	}
	if err := Read(func() error { return os.ErrExist }); err != os.ErrExist {
		t.Errorf("an error of fn: %v", err)
	}
}

// panics returns what fn panics with.
func panics(fn func()) (p any) {
	defer func() { p = recover() }()
	fn()
	return nil
}

func TestMistakesAreNotHidden(t *testing.T) {
	for name, fn := range map[string]func() error{
		"index":   func() error { var s []int; return errors.New(string(rune(s[len(os.Args)]))) },
		"nil":     func() error { var p *int; *p = 1; return nil },
		"value":   func() error { panic("some value") },
		"unknown": func() error { panic(address(0x123456789000)) }, // a fault outside of all mapped files
	} {
		t.Run(name, func(t *testing.T) {
			if panics(func() { Read(fn) }) == nil {
				t.Error("Read hides it")
			}
			if panics(func() { Run(func() { fn() }) }) == nil {
				t.Error("Run hides it")
			}
			var reported *Bug
			Contain(func(b *Bug) { reported = b })
			defer report.Store(nil)
			err := Read(fn)
			var bug *Bug
			if !errors.As(err, &bug) || bug != reported || bug.Fatal {
				t.Errorf("Read, contained: %v", err)
			}
			if !strings.Contains(bug.Where, "TestMistakesAreNotHidden") || !strings.Contains(bug.Error(), "guard_test.go:") {
				t.Errorf("it is not told where the mistake is: %v", bug)
			}
			if bug := Run(func() { fn() }); bug == nil || bug != reported || !bug.Fatal {
				t.Errorf("Run, contained: %v", bug)
			}
		})
	}
	if err := Library(func() error { panic("bad input") }); err == nil || !strings.Contains(err.Error(), "bad input") {
		t.Errorf("Library: %v", err)
	}
}

type address uintptr

func (a address) Addr() uintptr { return uintptr(a) }

// A fault on bytes after Unmap is a mistake, not a truncated file.
func TestUnmappedIsAMistake(t *testing.T) {
	b := truncated(t)
	at := rangeOf(b).start
	if !isFault(address(at)) || !isFault(address(at+8191)) || isFault(address(at+8192)) || isFault(address(at-1)) {
		t.Error("the range of the mapping is not known")
	}
	if err := Unmap(b); err != nil {
		t.Fatal(err)
	}
	if isFault(address(at)) {
		t.Error("the range is known after Unmap")
	}
}

// A fault outside of Read must not end the program either, once contained.
func TestRunStopsFaults(t *testing.T) {
	b := truncated(t)
	Contain(func(*Bug) {})
	defer report.Store(nil)
	if bug := Run(func() { sink += b[0] }); bug == nil {
		t.Error("no fault")
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	b := []byte{1}
	fn := readFirst(b)
	if n := testing.AllocsPerRun(100, func() { Read(fn) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRead(b *testing.B) {
	fn := readFirst([]byte{1})
	for b.Loop() {
		Read(fn)
	}
}
