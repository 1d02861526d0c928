package dwarf

// splitKey is what tells a split unit.
type splitKey struct {
	id   uint64
	name string
}

// maxSplit bounds the split units that are kept open.
const maxSplit = 1 << 14

// splitOf returns the split unit of a skeleton; c itself where there is none.
func (v *visitor) splitOf(c *cu) *cu {
	d := c.d
	name := c.text(sDwoName)
	if len(name) == 0 || d.o.Split == nil {
		return c
	}
	id := c.u.id
	if a, ok := c.root.get(sDwoID); ok && c.u.sizes.version < 5 {
		id = a.val
	}
	file := d.openSplit(id, string(name), string(c.text(sCompDir)))
	if file == nil {
		return c
	}
	units := file.units()
	for i := range units {
		s := v.open(file, &units[i])
		if s == nil {
			continue
		}
		own := s.u.id
		if a, ok := s.root.get(sDwoID); ok && s.u.sizes.version < 5 {
			own = a.val
		}
		if own != id {
			continue
		}
		// What a split unit refers to in the file of the skeleton (3.1.3).
		s.addr, s.addrBase, s.low, s.hasLow = c.addr, c.addrBase, c.low, c.hasLow
		if s.u.sizes.version < 5 {
			s.rangeData = c.rangeData
			if a, ok := c.root.get(sGNURanges); ok {
				s.ranges = a.val
			}
		}
		return s
	}
	return c
}

func (d *Data) openSplit(id uint64, name, dir string) *Data {
	d.splitMu.Lock()
	defer d.splitMu.Unlock()
	k := splitKey{id, name}
	s, ok := d.split[k]
	if !ok {
		s = d.o.Split(id, name, dir)
		if d.split == nil || len(d.split) >= maxSplit {
			d.split = make(map[splitKey]*Data)
		}
		d.split[k] = s
	}
	return s
}
