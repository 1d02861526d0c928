package v8

import (
	"fmt"
)

// layout is how one V8 is laid out: types of objects, and where their fields are, in
// bytes from their start.
type layout struct {
	version  version
	jumpLoop byte // the bytecode

	// Types of objects, Map::instance_type.
	mapType, sharedType, scriptType, scopeType, bytecodeType, codeType, streamType, wrapperType, dataType, debugType uint16
	firstContext, lastContext, firstFunction, lastFunction                                                           uint16
	firstNonstring                                                                                                   uint16
	byteArrays, arrays                                                                                               []uint16 // whose elements follow a length

	mapInstance uint64 // Map

	// From the frame pointer.
	fpContext, fpFunction, fpBytecodes, fpOffset int64

	functionShared                       uint64 // JSFunction
	sharedName, sharedScript, sharedData uint64 // SharedFunctionInfo
	wrapperShared                        uint64 // SharedFunctionInfoWrapper

	// ScopeInfo: indices of words.
	scopeLocals, scopeFirst int
	positionsFirst          bool // the positions stand before the variables, and the flags are not tagged
	scopeEval               uint32
	scopeModule             uint32

	scriptName, scriptSource, scriptLineEnds, scriptLine, scriptColumn uint64 // Script

	stringLength, stringChars                                     uint64 // String
	consFirst, consSecond, slicedParent, slicedOffset, thinActual uint64
	externalData                                                  uint64
	arrayLength, arrayData                                        uint64 // FixedArrayBase
	bytecodesData, bytecodesPositions                             uint64 // BytecodeArray

	positionFlags uint // bits in the numbers of a table of positions

	// Code. From V8 11 on the instructions are in an InstructionStream, which leads to it.
	inPlace                                                  bool // they are behind the Code itself
	instructions                                             uint64
	streamCode                                               uint64
	codeDeopt, codePositions, codeStart, codeFlags, codeSize uint64
	kindMask, kindBaseline                                   uint32

	// DeoptimizationData: indices.
	deoptCount, deoptLiterals, deoptShared, deoptInlining, deoptExits int
}

// Code kinds that follow the baseline's (objects/code-kind.h).
const (
	afterBaselineMaglev   = 1
	afterBaselineTurbofan = 2
)

// known are the versions of V8 that bt reads, those of Node.js 18 to 26, with the number of
// the bytecode JumpLoop where there is Maglev.
var known = map[version]byte{
	{10, 2}: 0, {10, 8}: 0, {11, 3}: 0, {11, 8}: 0, {12, 4}: 0, {12, 9}: 0, {13, 6}: 0x92, {14, 1}: 0x95, {14, 6}: 0x95,
}

// maxField is more than the offset of any field that is read, in bytes.
const maxField = 1 << 12

// postmortem is what the v8dbg_ symbols say.
type postmortem struct {
	look    func(name string) (uint32, bool)
	missing string // the first that is needed and not there
}

// value returns the first of names that is there.
func (p *postmortem) value(names ...string) uint32 {
	for _, n := range names {
		if v, ok := p.look(n); ok {
			return v
		}
	}
	if p.missing == "" {
		p.missing = names[0]
	}
	return 0
}

// field returns the offset of a field.
func (p *postmortem) field(names ...string) uint64 {
	for i := range names {
		names[i] = "class_" + names[i]
	}
	v := p.value(names...)
	if v >= maxField && p.missing == "" {
		p.missing = names[0]
	}
	return uint64(v)
}

// typ returns the number of a type.
func (p *postmortem) typ(name string) uint16 { return uint16(p.value("type_" + name)) }

// has reports whether a symbol is there.
func (p *postmortem) has(name string) bool { _, ok := p.look(name); return ok }

// optional returns those of types that are there.
func (p *postmortem) optional(names ...string) (list []uint16) {
	for _, n := range names {
		if v, ok := p.look("type_" + n); ok {
			list = append(list, uint16(v))
		}
	}
	return list
}

// newLayout makes a layout of what the v8dbg_ symbols say, which look finds by what follows
// that, and of what is known of the version.
func newLayout(v version, look func(name string) (uint32, bool)) (*layout, error) {
	p := &postmortem{look: look}
	jumpLoop, isKnown := known[v]
	switch {
	case !p.has("TaggedSize"):
		return nil, fmt.Errorf("it has no v8dbg_ symbols, which tell how it is laid out")
	case !isKnown:
		return nil, fmt.Errorf("bt does not know this version")
	case p.value("TaggedSize") != 8:
		return nil, fmt.Errorf("bt does not read compressed pointers")
	}
	for name, want := range map[string]uint32{
		"HeapObjectTag": 1, "HeapObjectTagMask": 3, "SmiTag": 0, "SmiTagMask": 1, "SmiShiftSize": 31, "SmiValueShift": 1,
		"StringRepresentationMask": representation, "SeqStringTag": sequential, "ConsStringTag": cons, "ExternalStringTag": external,
		"SlicedStringTag": sliced, "ThinStringTag": thin, "StringEncodingMask": oneByte, "OneByteStringTag": oneByte,
	} {
		if got := p.value(name); got != want {
			return nil, fmt.Errorf("its %s is %d: bt does not know such a V8", name, got)
		}
	}
	l := &layout{version: v, jumpLoop: jumpLoop}
	p.types(l)
	p.objects(l)
	p.strings(l)
	p.code(l)
	if p.missing != "" {
		return nil, fmt.Errorf("it does not tell %s: bt does not know such a V8", p.missing)
	}
	return l, nil
}

func (p *postmortem) types(l *layout) {
	l.mapType, l.sharedType = p.typ("Map__MAP_TYPE"), p.typ("SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE")
	l.scriptType, l.scopeType = p.typ("Script__SCRIPT_TYPE"), p.typ("ScopeInfo__SCOPE_INFO_TYPE")
	l.bytecodeType, l.codeType = p.typ("BytecodeArray__BYTECODE_ARRAY_TYPE"), p.typ("Code__CODE_TYPE")
	l.firstContext, l.lastContext = uint16(p.value("FirstContextType")), uint16(p.value("LastContextType"))
	l.firstFunction = p.typ("JSFunction__JS_FUNCTION_TYPE")
	l.lastFunction = l.firstFunction + 15 // before V8 11.8 no symbol tells it: objects/instance-type.h
	if p.has("LastJSFunctionType") {
		l.firstFunction, l.lastFunction = uint16(p.value("FirstJSFunctionType")), uint16(p.value("LastJSFunctionType"))
	}
	l.firstNonstring = uint16(p.value("FirstNonstringType"))
	l.byteArrays = p.optional("ByteArray__BYTE_ARRAY_TYPE", "TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE")
	l.arrays = p.optional("FixedArray__FIXED_ARRAY_TYPE", "WeakFixedArray__WEAK_FIXED_ARRAY_TYPE", "TrustedFixedArray__TRUSTED_FIXED_ARRAY_TYPE",
		"ProtectedFixedArray__PROTECTED_FIXED_ARRAY_TYPE", "TrustedWeakFixedArray__TRUSTED_WEAK_FIXED_ARRAY_TYPE")
	if w := p.optional("SharedFunctionInfoWrapper__SHARED_FUNCTION_INFO_WRAPPER_TYPE"); w != nil {
		l.wrapperType, l.wrapperShared = w[0], p.field("SharedFunctionInfoWrapper__shared_info__Tagged_SharedFunctionInfo_")
	}
	if d := p.optional("InterpreterData__INTERPRETER_DATA_TYPE"); d != nil {
		l.dataType = d[0]
	}
	if d := p.optional("DebugInfo__DEBUG_INFO_TYPE"); d != nil {
		l.debugType = d[0]
	}
	l.mapInstance = p.field("Map__instance_type__uint16_t")
}

func (p *postmortem) objects(l *layout) {
	fp := func(name string) int64 { return int64(int32(p.value("off_fp_" + name))) }
	l.fpContext, l.fpFunction = fp("context"), fp("function")
	l.fpBytecodes, l.fpOffset = fp("bytecode_array"), fp("bytecode_offset")
	if min(l.fpContext, l.fpFunction, l.fpBytecodes, l.fpOffset) < -frameSize || max(l.fpContext, l.fpFunction, l.fpBytecodes, l.fpOffset) >= 0 {
		p.missing = "off_fp_function"
	}
	l.functionShared = p.field("JSFunction__shared__SharedFunctionInfo")
	l.sharedName = p.field("SharedFunctionInfo__name_or_scope_info__Object", "SharedFunctionInfo__name_or_scope_info__Tagged_Object_",
		"SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_")
	l.sharedScript = p.field("SharedFunctionInfo__script__Tagged_HeapObject_", "SharedFunctionInfo__script_or_debug_info__HeapObject",
		"SharedFunctionInfo__script_or_debug_info__Object")
	l.sharedData = 8 // objects/shared-function-info.tq: function_data, trusted_function_data
	l.scopeLocals, l.scopeFirst = int(p.value("scopeinfo_idx_ncontextlocals")), int(p.value("scopeinfo_idx_first_vars"))
	switch {
	case l.scopeLocals == 2 && l.scopeFirst == 3:
		l.scopeEval, l.scopeModule = 1, 3
	case l.scopeLocals == 2 && l.scopeFirst == 5: // from V8 12.5 on
		l.positionsFirst = true
		l.scopeEval, l.scopeModule = 3, 5
	default:
		p.missing = "scopeinfo_idx_first_vars"
	}
	l.scriptName, l.scriptSource = p.field("Script__name__Object"), p.field("Script__source__Object")
	l.scriptLineEnds = p.field("Script__line_ends__Object")
	l.scriptLine, l.scriptColumn = l.scriptName+8, l.scriptName+16 // objects/script.tq
	l.bytecodesData = p.field("BytecodeArray__data__uintptr_t")
	l.positionFlags = 1
	if l.version.atLeast(14, 0) {
		l.positionFlags = 2
	}
	l.bytecodesPositions = 0x20
	if l.version.atLeast(12, 0) {
		l.bytecodesPositions = 0x18
	}
}

func (p *postmortem) strings(l *layout) {
	l.stringLength, l.stringChars = p.field("String__length__int32_t"), p.field("SeqOneByteString__chars__char")
	if p.field("SeqTwoByteString__chars__char") != l.stringChars {
		p.missing = "class_SeqTwoByteString__chars__char"
	}
	l.consFirst, l.consSecond = p.field("ConsString__first__String"), p.field("ConsString__second__String")
	l.slicedParent, l.slicedOffset = p.field("SlicedString__parent__String"), p.field("SlicedString__offset__SMI")
	l.thinActual = p.field("ThinString__actual__String")
	l.externalData = p.field("ExternalString__resource__Object") + 8 // objects/string.tq
	l.arrayLength, l.arrayData = p.field("FixedArrayBase__length__SMI"), p.field("FixedArray__data__uintptr_t")
}

// code finds out where the fields of compiled code are.
func (p *postmortem) code(l *layout) {
	l.kindMask, l.kindBaseline = p.value("CodeKindFieldMask"), p.value("CodeKindBaseline")
	l.deoptCount, l.deoptLiterals, l.deoptShared = 1, 2, 6
	switch v := l.version; {
	case !v.atLeast(11, 0):
		l.inPlace = true
		l.instructions = p.field("Code__instruction_start__uintptr_t")
		l.codeDeopt, l.codePositions = 0x10, 0x18
		l.codeFlags, l.codeSize = p.field("Code__flags__uint32_t"), p.field("Code__instruction_size__int")
	case !v.atLeast(12, 0): // whose symbols of Code are lost
		l.streamType, l.streamCode = p.typ("InstructionStream__INSTRUCTION_STREAM_TYPE"), 8
		l.instructions = p.field("InstructionStream__instruction_start__uintptr_t")
		l.codeDeopt, l.codePositions, l.codeStart, l.codeFlags, l.codeSize = 0x10, 0x18, 0x28, 0x30, 0x38
		if v.atLeast(11, 8) {
			l.codeDeopt, l.codePositions, l.codeStart, l.codeFlags, l.codeSize = 8, 0x10, 0x20, 0x28, 0x2c
		}
	default:
		l.streamType, l.streamCode = p.typ("InstructionStream__INSTRUCTION_STREAM_TYPE"), 8
		l.instructions = p.field("InstructionStream__instruction_start__uintptr_t")
		l.codeDeopt, l.codePositions, l.codeStart = 8, 0x10, p.field("Code__instruction_start__Address")
		l.codeFlags, l.codeSize = p.field("Code__flags__uint32_t"), p.field("Code__instruction_size__int")
	}
	if p.has("DeoptimizationDataLiteralArrayIndex") {
		l.deoptCount = int(p.value("DeoptimizationDataInlinedFunctionCountIndex"))
		l.deoptLiterals = int(p.value("DeoptimizationDataLiteralArrayIndex"))
		l.deoptShared = int(p.value("DeoptimizationDataSharedFunctionInfoIndex", "DeoptimizationDataSharedFunctionInfoWrapperIndex", "DeoptimizationDataWrappedSharedFunctionInfoIndex"))
	}
	l.deoptInlining, l.deoptExits = l.deoptShared+1, l.deoptShared+2 // objects/deoptimization-data.h
	if max(l.deoptCount, l.deoptLiterals, l.deoptShared) > maxDeoptIndex {
		p.missing = "DeoptimizationDataLiteralArrayIndex"
	}
}
