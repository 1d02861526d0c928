package x86

// NoReturn implements arch.Arch.NoReturn. Calls are taken to return.
func (m *Mode) NoReturn(code []byte) bool {
	const maxPaths = 16
	seen := make(map[int]bool)
	todo := []int{0}
	stops := false
	for n := 0; len(todo) > 0; n++ {
		if n == maxPaths {
			return false
		}
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for !seen[at] {
			seen[at] = true
			var in inst
			if at < 0 || at >= len(code) || !m.decode(code[at:], &in) {
				return false
			}
			next := at + in.size
			switch in.flow() {
			case flowStop:
				stops = true
				next = at
			case flowReturn, flowIndirect:
				return false
			case flowJump:
				next += int(in.imm)
			case flowBranch:
				todo = append(todo, next+int(in.imm))
			}
			at = next
		}
	}
	return stops
}
