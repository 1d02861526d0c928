package json

import (
	"encoding/hex"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// frame adds the members of a frame.
func (e *buffer) frame(f *stack.Frame, o *render.Options) {
	e.key("pc")
	e.addr(f.PC)
	e.addrOf("sp", f.SP)
	e.key("exact")
	e.bool(f.Exact)
	if f.Found != "" {
		e.key("found")
		e.sentence(string(f.Found))
	}
	if s := f.Signal; s != nil {
		e.key("signal")
		e.open('{')
		e.intOf("number", int64(s.Number))
		e.sentenceOf("name", s.Name)
		e.close('}')
	}
	if m := f.Module; m != nil {
		e.key("module")
		e.name(m.Path)
		e.sentenceOf("build_id", m.BuildID)
		e.key("module_offset")
		e.addr(f.ModuleOffset)
	}
	if o.Raw {
		return
	}
	e.boolOf("managed", f.Managed)
	e.boolOf("runtime", f.Runtime)
	e.list("names", len(f.Names), func(i int) { e.nameOfCode(&f.Names[i], o) })
	e.sentenceOf("miss", string(f.Miss))
}

func (e *buffer) nameOfCode(n *stack.Name, o *render.Options) {
	e.open('{')
	if n.Symbol != "" {
		e.key("symbol")
		if n.Plain {
			e.text(n.Symbol)
		} else {
			e.name(n.Symbol)
		}
		e.sentenceOf("version", n.Version)
		if !n.Inlined && n.Language == "" {
			e.key("offset")
			e.uint(n.Offset)
		}
	}
	if n.File != "" {
		e.key("file")
		e.text(o.File(n))
		e.intOf("line", int64(n.Line))
		e.intOf("column", int64(n.Column))
	}
	e.boolOf("inlined", n.Inlined)
	e.sentenceOf("language", n.Language)
	e.nameOf("source", n.Source)
	if n.Excerpt != nil {
		e.excerpt(n.Excerpt)
	}
	e.close('}')
}

func (e *buffer) excerpt(x *stack.Excerpt) {
	e.key("excerpt")
	e.open('{')
	e.key("file")
	e.name(x.File)
	e.key("line")
	e.int(int64(x.Line))
	e.key("first")
	e.int(int64(x.First))
	e.array("lines", len(x.Lines), func(i int) { e.name(x.Lines[i]) })
	e.close('}')
}

// module adds an object of what is known of a module.
func (e *buffer) module(m *stack.Module) {
	e.open('{')
	e.key("path")
	e.name(m.Path)
	e.sentenceOf("build_id", m.BuildID)
	e.moduleFacts(m)
	e.close('}')
}

// moduleFacts adds the members that frames do not repeat.
func (e *buffer) moduleFacts(m *stack.Module) {
	e.sentenceOf("via", m.Via)
	e.sentenceOf("error", m.Error)
	e.boolOf("refused", m.Refused)
}

func (e *buffer) death(d *stack.Death) {
	e.key("death")
	e.open('{')
	e.key("signal")
	e.sentence(d.Signal)
	e.key("text")
	e.sentence(d.Text)
	if d.Addr != nil {
		e.key("addr")
		e.addr(*d.Addr)
	}
	if i := d.Instruction; i != nil {
		e.key("instruction")
		e.open('{')
		e.key("addr")
		e.addr(i.Addr)
		e.key("text")
		e.sentence(i.Text)
		e.close('}')
	}
	if len(d.Code) > 0 {
		e.key("code")
		e.text(hex.EncodeToString(d.Code))
		e.key("code_addr")
		e.addr(d.CodeAddr)
		e.key("pc")
		e.addr(d.PC)
	}
	e.list("registers", len(d.Registers), func(i int) {
		e.open('{')
		e.key("name")
		e.name(d.Registers[i].Name)
		e.key("value")
		e.addr(d.Registers[i].Value)
		e.close('}')
	})
	e.intOf("word_size", int64(d.WordSize))
	e.close('}')
}

func (e *buffer) notes(notes []stack.Note) {
	e.list("notes", len(notes), func(i int) {
		e.open('{')
		e.key("kind")
		e.sentence(notes[i].Kind)
		e.key("text")
		e.sentence(notes[i].Text)
		if notes[i].Missing {
			e.key("missing")
			e.bool(true)
		}
		e.close('}')
	})
}

func (e *buffer) runtimeThread(r *stack.RuntimeThread) {
	e.open('{')
	e.key("language")
	e.sentence(r.Language)
	e.nameOf("name", r.Name)
	e.sentenceOf("state", r.State)
	e.list("facts", len(r.Facts), func(i int) { e.sentence(r.Facts[i]) })
	e.close('}')
}

// kernelFrame adds a frame of the kernel: one that the kernel hides the name of has
// its address as the symbol. Where only the function is known there is no offset.
func (e *buffer) kernelFrame(f *stack.KernelFrame) {
	e.open('{')
	e.key("symbol")
	e.name(f.Symbol)
	if f.Offset != 0 {
		e.key("offset")
		e.uint(f.Offset)
	}
	e.nameOf("module", f.Module)
	e.close('}')
}

func (e *buffer) wait(w *stack.Wait) {
	if w == nil {
		return
	}
	e.key("waits")
	e.open('{')
	e.sentenceOf("call", w.Call)
	e.sentenceOf("kind", w.Kind)
	e.addrOf("address", w.Address)
	e.fd(w.FD)
	e.nameOf("object", w.Object)
	e.list("holders", len(w.Holders), func(i int) { e.party(&w.Holders[i]) })
	e.key("text")
	e.sentence(w.Text)
	e.close('}')
}

func (e *buffer) fd(fd *int) {
	if fd != nil {
		e.key("fd")
		e.int(int64(*fd))
	}
}

func (e *buffer) party(p *stack.Party) {
	e.open('{')
	e.intOf("pid", int64(p.PID))
	e.intOf("tid", int64(p.TID))
	e.intOf("task", p.Task)
	e.nameOf("name", p.Name)
	e.fd(p.FD)
	e.close('}')
}

func (e *buffer) deadlock(d *stack.Deadlock) {
	e.open('{')
	e.array("edges", len(d.Edges), func(i int) {
		edge := &d.Edges[i]
		e.open('{')
		e.key("waiter")
		e.party(&edge.Waiter)
		e.key("holder")
		e.party(&edge.Holder)
		e.key("kind")
		e.sentence(edge.Kind)
		e.addrOf("address", edge.Address)
		e.nameOf("object", edge.Object)
		e.close('}')
	})
	e.key("text")
	e.sentence(d.Text)
	e.close('}')
}

// head adds what it takes to name the addresses elsewhere.
func (e *buffer) head(h *render.Head) {
	ids := make(map[string]string)
	for _, b := range h.BuildIDs {
		ids[b.Path] = b.ID
	}
	e.array("mappings", len(h.Maps), func(i int) {
		m := &h.Maps[i]
		e.open('{')
		e.key("start")
		e.addr(m.Start)
		e.key("end")
		e.addr(m.End)
		e.key("perm")
		e.sentence(m.Perm.String())
		e.key("offset")
		e.addr(m.Offset)
		e.nameOf("path", m.Path)
		e.sentenceOf("build_id", ids[m.Path])
		e.close('}')
	})
}
