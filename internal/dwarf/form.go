package dwarf

// attr is an attribute's value as it stands in the entry: for the class that
// its form says. That of an inline string is the string's position.
type attr struct {
	form uint8
	val  uint64
}

// entry holds the attributes of one entry that are read.
type entry struct {
	has  uint32 // bit s tells whether attrs[s] is there
	attr [nSlots]attr
}

func (e *entry) get(s slot) (attr, bool) { return e.attr[s], e.has&(1<<s) != 0 }

func (e *entry) set(s slot, form uint8, val uint64) {
	if e.has&(1<<s) == 0 { // the first one counts
		e.has |= 1 << s
		e.attr[s] = attr{form, val}
	}
}

// value puts the value of an attribute into to, if it is there.
func (e *entry) value(s slot, to *uint64) {
	if a, ok := e.get(s); ok {
		*to = a.val
	}
}

// sizes are what the sizes of forms depend on.
type sizes struct {
	version, addr, off uint8
	big                bool
}

// normalForm maps GNU's forms to those of version 5 with the same contents. It
// returns 0 for an unknown form.
func normalForm(form uint64, s sizes) uint8 {
	switch {
	case form == formGNUAddrIndex:
		return formAddrx
	case form == formGNUStrIndex:
		return formStrx
	case form == formGNUStrpAlt:
		return formStrpSup
	case form == formGNURefAlt && s.off == 8:
		return formRefSup8
	case form == formGNURefAlt:
		return formRefSup4
	case form == 0 || form == 2 || form > formAddrx4:
		return 0
	}
	return uint8(form)
}

// fixedSize returns the size in bytes of a form, or -1 where the contents tell.
func fixedSize(form uint8, s sizes) int {
	switch form {
	case formFlagPresent, formImplicitConst:
		return 0
	case formData1, formFlag, formRef1, formStrx1, formAddrx1:
		return 1
	case formData2, formRef2, formStrx2, formAddrx2:
		return 2
	case formStrx3, formAddrx3:
		return 3
	case formData4, formRef4, formRefSup4, formStrx4, formAddrx4:
		return 4
	case formData8, formRef8, formRefSig8, formRefSup8:
		return 8
	case formData16:
		return 16
	case formAddr:
		return int(s.addr)
	case formRefAddr:
		if s.version <= 2 {
			return int(s.addr)
		}
		return int(s.off)
	case formStrp, formSecOffset, formStrpSup, formLineStrp:
		return int(s.off)
	}
	return -1
}

// skipForm returns the position behind a value whose size its form does not tell.
func skipForm(b []byte, pos int, form uint8, s sizes) int {
	var n uint64
	switch form {
	case formString:
		return skipString(b, pos)
	case formSdata, formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx:
		return skipLEB(b, pos)
	case formBlock1:
		n, pos = fixed(b, pos, 1, s.big)
	case formBlock2:
		n, pos = fixed(b, pos, 2, s.big)
	case formBlock4:
		n, pos = fixed(b, pos, 4, s.big)
	case formBlock, formExprloc:
		n, pos = uleb(b, pos)
	case formIndirect:
		_, pos = readForm(b, pos, attr{form: form}, s)
		return pos
	default:
		return past(b)
	}
	if pos > len(b) || n > uint64(len(b)-pos) {
		return past(b)
	}
	return pos + int(n)
}

// readForm reads the value of a.form; that of an implicit constant is a.val.
func readForm(b []byte, pos int, a attr, s sizes) (attr, int) {
	if a.form == formIndirect {
		// One step: an indirect form that is indirect again is malformed.
		f, next := uleb(b, pos)
		a = attr{form: normalForm(f, s)}
		if pos = next; a.form == 0 || a.form == formIndirect || a.form == formImplicitConst {
			return a, past(b)
		}
	}
	switch a.form {
	case formImplicitConst:
		return a, pos
	case formFlagPresent:
		a.val = 1
		return a, pos
	case formString:
		a.val = uint64(pos)
		return a, skipString(b, pos)
	case formSdata:
		v, next := sleb(b, pos)
		a.val = uint64(v)
		return a, next
	case formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx:
		a.val, pos = uleb(b, pos)
		return a, pos
	case formData16:
		if pos+16 > len(b) {
			return a, past(b)
		}
		return a, pos + 16
	}
	if n := fixedSize(a.form, s); n > 0 {
		a.val, pos = fixed(b, pos, n, s.big)
		return a, pos
	}
	a.val = uint64(pos)
	return a, skipForm(b, pos, a.form, s)
}
