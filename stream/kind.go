package stream

import "bytes"

// kind tells which of the addresses to come are exact, which return
// addresses, from the comments that bt prints.
type kind struct {
	thread bool // below a `# thread` line
	exact  int  // so many addresses to come are exact, whatever the rest
}

// steer follows a line that starts with '#', given without leading blanks.
func (k *kind) steer(comment []byte) {
	word, ok := bytes.CutPrefix(comment, []byte("# "))
	if !ok {
		return
	}
	if i := bytes.IndexAny(word[:min(len(word), 10)], " \t\r\n"); i >= 0 {
		word = word[:i]
	}
	switch string(word) {
	case "process":
		*k = kind{}
	case "thread":
		*k = kind{thread: true, exact: 1}
	case "signal": // the trampoline and the interrupted frame
		k.exact = 2
	}
}

// next returns whether the next address is exact. returns is
// Options.ReturnAddresses.
func (k *kind) next(returns bool) bool {
	if k.exact > 0 {
		k.exact--
		return true
	}
	return !k.thread && !returns
}

// skip passes over n addresses.
func (k *kind) skip(n int) {
	k.exact = max(0, k.exact-n)
}
