package dwarf

// Tags (7.5.3) of entries that hold code, or scopes of names.
const (
	tagClass       = 0x02
	tagEnumeration = 0x04
	tagStruct      = 0x13
	tagSubroutine  = 0x15 // a type
	tagUnion       = 0x17
	tagInlined     = 0x1d
	tagModule      = 0x1e
	tagArray       = 0x01
	tagSubprogram  = 0x2e
	tagInterface   = 0x38
	tagNamespace   = 0x39
	tagCallSite    = 0x48
	tagGNUCallSite = 0x4109
)

// Forms (7.5.6). GNU's forms from before version 5 are read as the ones that
// the standard made of them, see normalForm.
const (
	formAddr          = 0x01
	formBlock2        = 0x03
	formBlock4        = 0x04
	formData2         = 0x05
	formData4         = 0x06
	formData8         = 0x07
	formString        = 0x08
	formBlock         = 0x09
	formBlock1        = 0x0a
	formData1         = 0x0b
	formFlag          = 0x0c
	formSdata         = 0x0d
	formStrp          = 0x0e
	formUdata         = 0x0f
	formRefAddr       = 0x10
	formRef1          = 0x11
	formRef2          = 0x12
	formRef4          = 0x13
	formRef8          = 0x14
	formRefUdata      = 0x15
	formIndirect      = 0x16
	formSecOffset     = 0x17
	formExprloc       = 0x18
	formFlagPresent   = 0x19
	formStrx          = 0x1a
	formAddrx         = 0x1b
	formRefSup4       = 0x1c
	formStrpSup       = 0x1d
	formData16        = 0x1e
	formLineStrp      = 0x1f
	formRefSig8       = 0x20
	formImplicitConst = 0x21
	formLoclistx      = 0x22
	formRnglistx      = 0x23
	formRefSup8       = 0x24
	formStrx1         = 0x25
	formStrx2         = 0x26
	formStrx3         = 0x27
	formStrx4         = 0x28
	formAddrx1        = 0x29
	formAddrx2        = 0x2a
	formAddrx3        = 0x2b
	formAddrx4        = 0x2c

	formGNUAddrIndex = 0x1f01
	formGNUStrIndex  = 0x1f02
	formGNURefAlt    = 0x1f20
	formGNUStrpAlt   = 0x1f21
)

// slot is an attribute that this package reads.
type slot uint8

const (
	sLow slot = iota
	sHigh
	sRanges
	sSibling
	sName
	sLinkage
	sOrigin // abstract origin or specification
	sCallFile
	sCallLine
	sCallColumn
	sLang
	sStmtList
	sCompDir
	sStrOffsets
	sAddrBase
	sRnglists
	sDwoName
	sDwoID
	sGNURanges
	nSlots
	noSlot = nSlots
)

// slots are the attributes (7.5.4) with small numbers that have a slot: that and 1.
var slots = [0x80]slot{
	0x01: sSibling + 1, 0x03: sName + 1, 0x10: sStmtList + 1, 0x11: sLow + 1, 0x12: sHigh + 1, 0x13: sLang + 1,
	0x1b: sCompDir + 1, 0x31: sOrigin + 1, 0x47: sOrigin + 1, 0x55: sRanges + 1,
	0x57: sCallColumn + 1, 0x58: sCallFile + 1, 0x59: sCallLine + 1, 0x6e: sLinkage + 1,
	0x72: sStrOffsets + 1, 0x73: sAddrBase + 1, 0x74: sRnglists + 1, 0x76: sDwoName + 1,
}

// slotOf returns the slot of an attribute, noSlot for all without.
func slotOf(attr uint64) slot {
	if attr < uint64(len(slots)) {
		if s := slots[attr]; s != 0 {
			return s - 1
		}
		return noSlot
	}
	switch attr {
	case 0x2007: // DW_AT_MIPS_linkage_name
		return sLinkage
	case 0x2130: // DW_AT_GNU_dwo_name
		return sDwoName
	case 0x2131:
		return sDwoID
	case 0x2132:
		return sGNURanges
	case 0x2133: // DW_AT_GNU_addr_base
		return sAddrBase
	}
	return noSlot
}

// Unit types (7.5.1).
const (
	unitCompile      = 1
	unitType         = 2
	unitPartial      = 3
	unitSkeleton     = 4
	unitSplitCompile = 5
	unitSplitType    = 6
)
