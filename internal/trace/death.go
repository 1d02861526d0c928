//go:build linux

package trace

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Died sets why a process died, by its first thread.
func Died(p *stack.Process, c *fault.Cause) {
	p.Death = Death(c)
	if len(p.Threads) == 0 || len(p.Threads[0].Frames) == 0 || !c.HasPC || c.InsnAddr >= c.PC || c.InsnAddr == 0 {
		return
	}
	// A breakpoint lies before the pc, where the next function may begin already.
	if f := &p.Threads[0].Frames[0]; f.PC == c.PC {
		f.Exact = false
	}
}

// Death returns the model of why a thread died.
func Death(c *fault.Cause) *stack.Death {
	d := &stack.Death{Signal: fault.SignalName(c.Signo), Text: DeathText(c), WordSize: 8}
	if c.HasAddr {
		addr := c.Addr
		d.Addr = &addr
	}
	if c.Arch != nil {
		d.WordSize = c.Arch.PtrSize
	}
	if c.Insn.Size > 0 {
		d.Instruction = &stack.Instruction{Addr: c.InsnAddr, Text: c.Insn.Text}
	}
	if len(c.Code) > 0 {
		d.Code, d.CodeAddr, d.PC = c.Code, c.CodeAddr, c.InsnAddr
	}
	if c.Arch == nil || c.Regs == nil {
		return d
	}
	for r, name := range c.Arch.Names {
		if v, ok := c.Regs.Get(arch.Reg(r)); ok {
			d.Registers = append(d.Registers, stack.Register{Name: name, Value: v})
		}
	}
	return d
}

// DeathText says in one line why a thread died.
func DeathText(c *fault.Cause) string {
	var b strings.Builder
	b.WriteString("killed by " + fault.SignalName(c.Signo))
	if c.Info != nil {
		b.WriteString(" (" + c.Info.Name() + ")")
	}
	if c.HasAddr {
		fmt.Fprintf(&b, " at 0x%x", c.Addr)
	}
	sep := ": "
	say := func(text string) {
		b.WriteString(sep + text)
		sep = "; "
	}
	if i := c.Info; i != nil && i.HasSender {
		switch {
		case c.Self:
			say("sent by the process itself")
		case i.Sender == 0:
			say(fmt.Sprintf("sent by a process of another PID namespace (uid %d)", i.UID))
		default:
			say(fmt.Sprintf("sent by process %d (uid %d)", i.Sender, i.UID))
		}
	}
	if i := c.Info; i != nil && i.HasSyscall {
		say("system call " + strconv.Itoa(i.Syscall))
	}
	null := false
	for _, h := range c.Hints {
		say(h.String())
		null = null || h == fault.NullPointer || h == fault.NullCall
	}
	if c.HasAddr && c.Place.Known && c.UsesAddr() {
		say(placeText(&c.Place, c.Addr, !null))
	}
	return b.String()
}

// placeText says what is mapped at addr.
func placeText(p *fault.Place, addr uint64, neighbours bool) string {
	if p.Mapping != nil {
		return fmt.Sprintf("in %s %s", p.Mapping.Perm, mappingText(p.Mapping))
	}
	text := "nothing is mapped there"
	if !neighbours {
		return text
	}
	const near = 16 << 20
	below, above := ^uint64(0), ^uint64(0)
	if p.Below != nil {
		below = addr - p.Below.End
	}
	if p.Above != nil {
		above = p.Above.Start - addr
	}
	switch {
	case above <= below && above < near:
		text += fmt.Sprintf(", 0x%x below %s %s", above, p.Above.Perm, mappingText(p.Above))
	case below < near:
		text += fmt.Sprintf(", 0x%x above the end of %s %s", below, p.Below.Perm, mappingText(p.Below))
	}
	return text
}

func mappingText(m *maps.Mapping) string {
	name := escape.Name(m.Path)
	if name == "" {
		name = "(anon)"
	}
	return fmt.Sprintf("%s (0x%x-0x%x)", name, m.Start, m.End)
}
