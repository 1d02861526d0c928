package lines

// kind tells which of the addresses to come are exact, which return
// addresses, from the comments that bt prints.
type kind struct {
	thread bool // below a `# thread` line
	exact  int  // so many addresses to come are exact, whatever the rest
}

// steer follows a line that starts with '#', given without leading blanks.
func (k *kind) steer(comment []byte) {
	switch {
	case hasWord(comment, "# process"):
		*k = kind{}
	case hasWord(comment, "# thread"):
		*k = kind{thread: true, exact: 1}
	case hasWord(comment, "# signal"): // the trampoline and the interrupted frame
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

// hasWord reports whether b begins with prefix, as whole words.
func hasWord(b []byte, prefix string) bool {
	n := len(prefix)
	return len(b) >= n && string(b[:n]) == prefix &&
		(len(b) == n || isBlank(b[n]) || b[n] == '\r' || b[n] == '\n')
}
