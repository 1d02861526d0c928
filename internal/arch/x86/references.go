package x86

// maxReferences bounds what References returns.
const maxReferences = 4096

// References implements arch.GoFrames.References. 64-bit code refers to data relative to
// the next instruction, 32-bit code by its address, or, where it is
// position-independent, relative to the return address of a call of a function that
// loads that (__x86.get_pc_thunk).
func (m *Mode) References(code []byte, addr uint64) (refs []uint64) {
	var in inst
	var thunk uint64 // behind the last call
	add := func(a uint64) {
		if m.PtrSize == 4 {
			a &= 1<<32 - 1
		}
		refs = append(refs, a)
	}
	for at := 0; at < len(code) && len(refs) < maxReferences; {
		if !m.decode(code[at:], &in) {
			at++ // data amid the code: it goes on behind it
			continue
		}
		at += in.size
		next := addr + uint64(at)
		switch {
		case in.m == mapOne && in.op == 0xe8:
			thunk = next
		case in.m == mapOne && in.op >= 0xa0 && in.op <= 0xa3:
			add(uint64(in.imm))
		case !in.memory() || in.segment || in.disp == 0:
		case m.PtrSize == 8:
			if in.mod == 0 && in.rm&7 == 5 && in.base == noReg && in.index == noReg {
				add(next + uint64(in.disp))
			}
		case in.base == noReg:
			add(uint64(in.disp))
		case thunk != 0 && in.base != sp && in.base != bp:
			add(thunk + uint64(in.disp))
		}
	}
	return refs
}
