//go:build linux

// Package complete lists what a shell can complete on bt's command line: the processes
// and threads of the machine, with their names, and commands.
package complete

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/procfs"
)

// Item is one completion: what is put into the line, and what it is.
type Item struct{ Word, About string }

// maxAbout bounds a description, in bytes: it is a part of a line on a terminal.
const maxAbout = 60

// Processes lists the processes whose stacks the user uid can have: his own, or all if he
// is root. Threads of the kernel and processes that have ended are none. proc is where
// procfs is mounted.
func Processes(proc string, uid int) []Item {
	var items []Item
	for _, pid := range numbers(proc) {
		d, err := procfs.OpenPID(proc, pid)
		if err != nil {
			continue
		}
		if about, ok := process(d, uid); ok {
			items = append(items, Item{strconv.Itoa(pid), about})
		}
		d.Close()
	}
	return items
}

// process tells of the process in a directory; ok is false if it is not to be listed.
func process(d procfs.Dir, uid int) (about string, ok bool) {
	var owner unix.Stat_t
	if unix.Fstat(int(d), &owner) != nil || uid != 0 && int(owner.Uid) != uid {
		return "", false
	}
	st, err := d.Stat("stat")
	if err != nil || st.Dead() || st.KernelThread() {
		return "", false
	}
	args, _ := d.Cmdline()
	if len(args) == 0 || args[0] == "" {
		return clean(st.Comm), true
	}
	args[0] = filepath.Base(args[0])
	return clean(strings.Join(args, " ")), true
}

// Threads lists the threads of a process.
func Threads(proc string, pid int) []Item {
	var items []Item
	d, err := procfs.OpenPID(proc, pid)
	if err != nil {
		return nil
	}
	defer d.Close()
	for _, tid := range numbers(filepath.Join(proc, strconv.Itoa(pid), "task")) {
		word := strconv.Itoa(tid)
		if name, err := d.Comm("task/" + word + "/comm"); err == nil {
			items = append(items, Item{word, clean(name)})
		}
	}
	return items
}

// numbers lists the entries of a directory whose names are numbers, the smallest first.
func numbers(dir string) []int {
	entries, _ := os.ReadDir(dir)
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// Commands lists the programs on a path, as $PATH is one, whose names begin with prefix.
func Commands(path, prefix string) []Item {
	var names []string
	for _, dir := range filepath.SplitList(path) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), prefix) || clean(e.Name()) != e.Name() {
				continue
			}
			if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	items := []Item{}
	for _, name := range slices.Compact(names) {
		items = append(items, Item{Word: name})
	}
	return items
}

// clean makes a name that a process has chosen a description: one line, of printable
// characters, short.
func clean(s string) string {
	s = escape.Name(s)
	if len(s) <= maxAbout {
		return s
	}
	return strings.ToValidUTF8(s[:maxAbout], "") + "…"
}
