package v8

import "github.com/gatedso/bt/stack"

// function is what was read of a SharedFunctionInfo: a function as it is written in a
// script, of which there can be many closures.
type function struct {
	obj        uint64
	name       string
	script     *script
	start, end int // the positions between which it is written; end 0: not known
}

// noPosition is that of code that belongs to no place in the source.
const noPosition = -1

// Bounds of what one stop reads.
const (
	maxFunctions = 1 << 14
	maxScripts   = 1 << 12
)

// function reads a SharedFunctionInfo, nil where it is none.
func (h *heap) function(shared uint64) *function {
	if f, known := h.functions[shared]; known {
		return f
	}
	if len(h.functions) >= maxFunctions || !h.is(shared, h.l.sharedType) {
		return nil
	}
	f := &function{obj: shared}
	h.functions[shared] = f
	if p, ok := h.scriptOf(shared); ok {
		f.script = h.script(p)
	}
	p, ok := h.field(shared, h.l.sharedName)
	switch t, _ := h.typeOf(p); {
	case !ok || !isObject(p):
	case t == h.l.scopeType:
		h.scope(p, f)
	case t < h.l.firstNonstring:
		f.name, _ = h.str(p)
	}
	return f
}

// scriptOf finds the script of a function. Until V8 12 a function that the debugger knows
// has a DebugInfo there, which leads to it (objects/debug-objects.tq).
func (h *heap) scriptOf(shared uint64) (uint64, bool) {
	p, ok := h.field(shared, h.l.sharedScript)
	if !ok {
		return 0, false
	}
	if t, _ := h.typeOf(p); h.l.debugType != 0 && t == h.l.debugType {
		const script = 0x18
		return h.object(p, script, h.l.scriptType)
	}
	return p, h.is(p, h.l.scriptType)
}

// Bits of a ScopeInfo's flags (objects/scope-info.tq).
const (
	scopeType         = 0xf
	scopeClass        = 1 << 10 // a word more, for the class
	scopeVariableMask = 3 << 12 // two words more: the function's name, and where it is kept
	scopeInferred     = 1 << 14 // a word more, the name that V8 has made up
)

const (
	maxLocals     = 1 << 16
	inlinedLocals = 75 // with more variables their names are in a table of their own
)

// scope reads a function's name and where it is written from its ScopeInfo.
func (h *heap) scope(obj uint64, f *function) {
	at := func(i int) (uint64, bool) { return h.field(obj, 8+8*uint64(i)) }
	w, ok := at(0)
	if !ok {
		return
	}
	flags := uint32(w)
	if !h.l.positionsFirst {
		flags = uint32(w >> 32)
	}
	w, _ = at(h.l.scopeLocals)
	locals, ok := smi(w)
	if !ok || locals < 0 || locals > maxLocals {
		return
	}
	i := h.l.scopeFirst
	if flags&scopeType == h.l.scopeModule {
		i++ // how many variables the module has
	}
	if locals < inlinedLocals {
		i += locals
	} else {
		i++
	}
	i += locals // what is known of each
	if flags&scopeClass != 0 {
		i++
	}
	computed := false // the name is only known when the function is made
	if flags&scopeVariableMask != 0 {
		p, ok := at(i)
		if computed = !ok || p == 0; !computed && isObject(p) {
			f.name, _ = h.str(p)
		}
		i += 2
	}
	if flags&scopeInferred != 0 {
		if p, ok := at(i); ok && f.name == "" && !computed && isObject(p) {
			f.name, _ = h.str(p)
		}
		i++
	}
	if h.l.positionsFirst {
		i = h.l.scopeFirst - 2
	}
	start, ok1 := at(i)
	end, ok2 := at(i + 1)
	from, ok3 := smi(start)
	to, ok4 := smi(end)
	if ok1 && ok2 && ok3 && ok4 && from >= 0 && from <= to {
		f.start, f.end = from, to
	}
	if f.name == "" && flags&scopeType == h.l.scopeEval {
		f.name = "eval"
	}
}

// place is the name of a function at a position of its script.
func (h *heap) place(f *function, pos int) stack.Name {
	n := stack.Name{Symbol: f.name, Language: language}
	if n.Symbol == "" {
		n.Symbol = "<anonymous>"
	}
	if f.script == nil {
		return n
	}
	n.File = f.script.name
	// A position that is not the function's is wrong, whoever is to blame.
	if pos < f.start || f.end == 0 || pos > f.end {
		return n
	}
	n.Line, n.Column = h.lineOf(f.script, pos)
	return n
}
