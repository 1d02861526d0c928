package cpython

// coldCalls adds to calls the native frames that may be parts of the same function which
// the compiler has put elsewhere, and no symbol names: those whose frame is made alike.
func (r *reader) coldCalls(n *natives, calls []int) []int {
	if len(calls) == 0 {
		return calls
	}
	like, _ := r.space.Row(n.frames[calls[len(calls)-1]].PC, false)
	if like == nil {
		return calls
	}
	var out []int
	for i := range n.frames {
		f := &n.frames[i]
		if n.eval[i] && !n.taken[i] {
			out = append(out, i)
			continue
		}
		if !n.own[i] || n.named[i] || n.taken[i] {
			continue
		}
		row, _ := r.space.Row(f.PC, f.Exact)
		if row != nil && row.CFA == like.CFA && row.Regs == like.Regs {
			out = append(out, i)
		}
	}
	return out
}
