package x86

import "github.com/gatedso/bt/internal/arch/follow"

// flow says where execution goes after in.
func (in *inst) flow() follow.Flow {
	op := in.op
	if in.vex {
		return follow.Next
	}
	switch in.m {
	case mapOne:
		if op >= 0x70 && op < 0x80 {
			return follow.Branch
		}
		switch op {
		case 0xe0, 0xe1, 0xe2, 0xe3: // loop, jcxz
			return follow.Branch
		case 0xe8, 0x9a:
			return follow.Call
		case 0xe9, 0xeb:
			return follow.Jump
		case 0xc2, 0xc3, 0xca, 0xcb, 0xcf:
			return follow.Return
		case 0xcc, 0xf1, 0xf4: // int3, icebp, hlt
			return follow.Stop
		case 0xea:
			return follow.Indirect
		case 0xc7: // xbegin
			if in.reg&7 == 7 && in.mod == 3 {
				return follow.Branch
			}
		case 0xff:
			switch in.reg & 7 {
			case 2, 3:
				return follow.Call
			case 4, 5:
				return follow.Indirect
			}
		}
	case map0F:
		if op >= 0x80 && op < 0x90 {
			return follow.Branch
		}
		switch op {
		case 0x0b, 0xb9, 0xff, 0x07, 0x35: // ud2, ud1, ud0, sysret, sysexit
			return follow.Stop
		}
	}
	return follow.Next
}

// isPadding reports whether in does nothing and is there for alignment.
func (in *inst) isPadding() bool {
	if in.vex {
		return false
	}
	switch in.m {
	case mapOne:
		switch in.op {
		case 0x90:
			return in.rm == ax
		case 0x8d: // lea 0(%esi), %esi
			return in.base == in.reg && in.index == noReg && in.disp == 0
		}
	case map0F:
		return in.op == 0x1f // nop
	}
	return false
}
