package namediff

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// ask runs a program that reads an address a line, and calls each with what it
// answers: so many lines for each address.
func ask(addrs []uint64, lines int, each func(i int, answer []string), name string, args ...string) error {
	cmd := exec.Command(name, args...)
	// No peer may download what bt does not see.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "DEBUGINFOD_URLS=") })
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		w := bufio.NewWriter(in)
		for _, a := range addrs {
			fmt.Fprintf(w, "%#x\n", a)
		}
		w.Flush()
		in.Close()
	}()
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 16<<20)
	n := 0
	var answer []string
	for sc.Scan() {
		if answer = append(answer, sc.Text()); len(answer) == lines {
			if n < len(addrs) {
				each(n, answer)
			}
			n++
			answer = answer[:0]
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n != len(addrs) {
		return fmt.Errorf("%s answered %d of %d addresses", name, n, len(addrs))
	}
	return nil
}

// askLLVM asks llvm-symbolizer: a name, or "".
func askLLVM(path string, addrs []uint64) ([]string, error) {
	out := make([]string, len(addrs))
	err := ask(addrs, 3, func(i int, a []string) {
		if a[0] != "??" {
			out[i] = clean(a[0])
		}
	}, "llvm-symbolizer", "--no-demangle", "--functions=linkage", "--no-inlines", "--obj="+path)
	return out, err
}

// askElfutils asks eu-addr2line: a name, or "", and the symbol's start.
func askElfutils(path string, addrs []uint64) ([]answer, error) {
	out := make([]answer, len(addrs))
	err := ask(addrs, 2, func(i int, a []string) {
		name, start := a[0], addrs[i]
		if at := strings.LastIndex(name, "+0x"); at > 0 {
			if off, err := strconv.ParseUint(name[at+3:], 16, 64); err == nil {
				name, start = name[:at], start-off
			}
		}
		if name != "??" && name != "()" { // "()+0x1234" has no name either
			out[i] = answer{clean(name), start, ""}
		}
	}, "eu-addr2line", "-S", "-e", path)
	return out, err
}
