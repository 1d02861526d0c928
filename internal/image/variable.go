package image

// Variable returns the run-time address of the symbol of this name in the module, for
// what debuggers look for in a program: in its dynamic symbols, or, with full, in its
// symbol table.
func (s *Space) Variable(m *Module, name string, full bool) (addr uint64, ok bool) {
	im, err := m.Image()
	if err != nil {
		return 0, false
	}
	link, ok := im.Variable(name, full)
	if !ok {
		return 0, false
	}
	bias, ok := s.regions[m.regions[0]].loadBias(im)
	if !ok {
		return 0, false
	}
	addr = link + bias
	if im.PtrSize() == 4 {
		addr &= 1<<32 - 1
	}
	return addr, true
}
