package testenv

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// packages are Debian's of the compilers.
var packages = map[string]string{"gcc": "gcc", "g++": "g++", "musl-gcc": "musl-tools", "go": "golang-go",
	"aarch64-linux-gnu-gcc-12":   "gcc-12-aarch64-linux-gnu libc6-dev-arm64-cross",
	"aarch64-linux-gnu-g++-12":   "g++-12-aarch64-linux-gnu",
	"arm-linux-gnueabihf-gcc-12": "gcc-12-arm-linux-gnueabihf libc6-dev-armhf-cross"}

// Compile runs the compiler cc, "go" or one for C, to make the program prog, which
// t will run. It skips t where cc is missing, or with -m32 what gcc needs for
// 32-bit programs; or where this kernel runs no 32-bit programs. It fails t where
// the program does not compile.
//
// A machine without a compiler gets the programs from another one: where
// BT_PROGRAMS names a directory, Compile looks there first for what the same
// command made, and leaves there what it makes. Sources are told apart by their
// file names alone. With BT_BUILD_ONLY=1 a test ends when its 32-bit program is made;
// with BT_BUILD_ONLY=other, where the programs are for another CPU, when it runs the
// first one (see Running): it has to make all of them before.
func Compile(t testing.TB, prog, cc string, args ...string) {
	t.Helper()
	if slices.Contains(args, "-m32") && runtime.GOARCH != "amd64" {
		t.Skip("32-bit x86 programs are for another CPU")
	}
	compile(t, prog, cc, args)
	if slices.Contains(args, "-m32") {
		needKernel32(t)
	}
}

// Running ends a test that is about to run a program which Compile has made, where
// the programs are made for another CPU (BT_BUILD_ONLY=other).
func Running(t testing.TB) {
	t.Helper()
	if os.Getenv("BT_BUILD_ONLY") == "other" {
		t.Skip("BT_BUILD_ONLY=other: the programs are built")
	}
}

// Can32 reports whether 32-bit programs can be compiled and run here, for a test
// that looks at them among others.
func Can32() bool {
	if os.Getenv("BT_BUILD_ONLY") == "1" {
		return true
	}
	can, _ := Kernel32()
	return can && (os.Getenv("BT_PROGRAMS") != "" || multilib() == nil)
}

func compile(t testing.TB, prog, cc string, args []string) {
	t.Helper()
	kept := ""
	if dir := os.Getenv("BT_PROGRAMS"); dir != "" {
		kept = filepath.Join(dir, commandKey(cc, args))
		if data, err := os.ReadFile(kept); err == nil {
			writeProgram(t, prog, data)
			return
		}
	}
	Need(t, cc, packages[cc])
	if slices.Contains(args, "-m32") {
		// A cross compiler in the place of gcc-multilib does not look there.
		args = append([]string{"-idirafter", "/usr/include/x86_64-linux-gnu"}, args...)
		if err := multilib(); err != nil {
			Skip(t, "gcc cannot build 32-bit programs: apt-get install gcc-multilib (%v)", err)
		}
	}
	args = append([]string{"-o", prog}, args...)
	if cc == "go" {
		args = append([]string{"build"}, args...)
	}
	cmd := exec.Command(cc, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	if kept != "" {
		data, err := os.ReadFile(prog)
		if err != nil {
			t.Fatal(err)
		}
		writeProgram(t, kept, data)
	}
}

// writeProgram writes a program that can be run at once: no other test starts a process
// meanwhile, which would have the file open for writing for a moment.
func writeProgram(t testing.TB, path string, data []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, data, 0o777); err != nil {
		t.Fatal(err)
	}
}

// commandKey names what a command makes. Paths count by their last element:
// some are temporary.
func commandKey(cc string, args []string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", cc)
	name := cc
	for _, arg := range args {
		if slices.Contains([]string{".c", ".cc", ".go"}, filepath.Ext(arg)) {
			arg = filepath.Base(arg)
			name = arg
		}
		fmt.Fprintf(h, " %q", arg)
	}
	return fmt.Sprintf("%s-%x", name, h.Sum(nil)[:8])
}

// multilib is why gcc cannot build 32-bit programs, nil when it can.
var multilib = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "bt-multilib-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("gcc", "-m32", "-idirafter", "/usr/include/x86_64-linux-gnu", "-xc", "-", "-o", filepath.Join(dir, "probe"))
	cmd.Stdin = strings.NewReader("#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return fmt.Errorf("%w: %s", err, first)
	}
	return nil
})
