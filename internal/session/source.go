//go:build linux

package session

import (
	"os"
	"slices"

	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/source"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// sources returns what reads the source of a target: below the sysroot, then by root,
// which opens files in the root directory that a process sees. A nil root stands for
// what is no process, whose files are those of the sysroot where there is one. What
// debug information names root does not read for whoever made it.
func (s *Session) sources(root func(path string) (*os.File, error), around int) *source.Reader {
	r := &source.Reader{Around: around, Public: os.Geteuid() == 0}
	if dir := s.options.Sysroot; dir != "" {
		r.Open = append(r.Open, func(path string) (*os.File, error) { return procfs.In(dir, path) })
		if root == nil {
			return r
		}
	}
	if root == nil {
		root = procfs.Open
	}
	r.Open = append(r.Open, root)
	return r
}

// excerpts has o told with the source around places, where that is wanted.
func (s *Session) excerpts(o *symbolize.Options, root func(path string) (*os.File, error)) {
	if s.options.Context != nil {
		o.Excerpt = s.sources(root, *s.options.Context).Excerpt
	}
}

// How many frames are looked through for source, and how much of that is shown.
const (
	maxSourceFrames = 16
	crashContext    = 1
)

// CrashSource adds the source of the thread that died to the model, around the place
// of the innermost frame of which it can be read, unless there is some already. The
// frames have been named.
func (s *Stacks) CrashSource() {
	if s.Model.Death == nil || len(s.Model.Threads) == 0 || s.sym == nil || s.session.options.Context != nil {
		return
	}
	frames := s.Model.Threads[0].Frames
	frames = frames[:min(len(frames), maxSourceFrames)]
	lines := s.sym.Lines(frames)
	reader := s.session.sources(s.root, crashContext)
	var names []stack.Name
	for i := range frames {
		f := &frames[i]
		names = lines.Names(names[:0], i)
		if k, e := excerptOf(reader, f.Names, names); e != nil {
			// Other frames of this address share its names.
			f.Names = slices.Clone(f.Names)
			f.Names[k].Excerpt = e
			return
		}
	}
}

// excerptOf returns the source around the innermost place of a frame of which it can be
// read, and the number of the name that it belongs to. inlined are the names with all
// calls that are inlined there, which names may lack.
func excerptOf(r *source.Reader, names, inlined []stack.Name) (k int, e *stack.Excerpt) {
	for k = range names {
		n := &names[k]
		if n.Language == "" && len(inlined) > 0 {
			break
		}
		if e = r.Excerpt(n.File, n.Line); e != nil {
			return k, e
		}
	}
	for j := 0; j < len(inlined) && len(names) > 0; j++ {
		if e = r.Excerpt(inlined[j].File, inlined[j].Line); e != nil {
			if len(names)-k == len(inlined) {
				k += j
			}
			return k, e
		}
	}
	return 0, nil
}
