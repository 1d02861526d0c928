package text

import (
	"fmt"
	"strings"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
)

// maxListed is how many threads of a group are named.
const maxListed = 16

// others is the text that tells whose stacks are like that of the first, by name.
func others(g render.Group) string {
	rest := g[1:]
	var b strings.Builder
	noun := "threads"
	if len(rest) == 1 {
		noun = "thread"
	}
	fmt.Fprintf(&b, "and %s more %s with this stack:", render.Thousands(len(rest)), noun)
	var names []string
	byName := make(map[string][]int)
	for _, t := range rest[:min(len(rest), maxListed)] {
		if byName[t.Name] == nil {
			names = append(names, t.Name)
		}
		byName[t.Name] = append(byName[t.Name], t.TID)
	}
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		for _, tid := range byName[name] {
			fmt.Fprintf(&b, " %d", tid)
		}
		fmt.Fprintf(&b, ` "%s"`, escape.Name(name))
	}
	if len(rest) > maxListed {
		b.WriteString(", …")
	}
	return b.String()
}
