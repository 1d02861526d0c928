package render

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/maps"
)

// Cause prints why a thread died: one line, and those of the instruction and
// the registers where they are known. They are comments to bt.
func (s *Stacks) Cause(c *fault.Cause) {
	s.comment("%s", CauseText(c))
	if c.HasPC && c.Arch != nil {
		s.Options.PtrSize = c.Arch.PtrSize
	}
	if c.Insn.Size > 0 {
		s.comment("instruction %s: %s", s.Options.AppendAddr(nil, c.InsnAddr), c.Insn.Text)
	}
	if len(c.Code) > 0 {
		s.comment("code %s", codeText(c.Code, c.InsnAddr-c.CodeAddr))
	}
	s.registers(c)
}

// CauseText says in one line why a thread died.
func CauseText(c *fault.Cause) string {
	var b strings.Builder
	b.WriteString("killed by " + SignalName(c.Signo))
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

// codeText prints the bytes with the one at index at marked.
func codeText(code []byte, at uint64) string {
	var b strings.Builder
	for i := range code {
		if i > 0 {
			b.WriteByte(' ')
		}
		digits := hex.EncodeToString(code[i : i+1])
		if uint64(i) == at {
			digits = "<" + digits + ">"
		}
		b.WriteString(digits)
	}
	return b.String()
}

// registers prints the registers, four in a line.
func (s *Stacks) registers(c *fault.Cause) {
	if c.Arch == nil || c.Regs == nil {
		return
	}
	var line []byte
	n := 0
	flush := func() {
		if n > 0 {
			s.comment("registers%s", line)
		}
		line, n = line[:0], 0
	}
	for r := range c.Arch.Names {
		v, ok := c.Regs.Get(arch.Reg(r))
		if !ok {
			continue
		}
		line = append(line, ' ')
		line = append(line, c.Arch.Names[r]...)
		line = append(line, '=')
		line = s.Options.AppendAddr(line, v)
		if n++; n == 4 {
			flush()
		}
	}
	flush()
}
