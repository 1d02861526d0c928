//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/gate"
	btjson "github.com/gatedso/bt/internal/render/json"
)

// printJSON prints v as indented JSON.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// print prints the report for people.
func (r *gateReport) print(out io.Writer) error {
	w := bufio.NewWriter(out)
	if r.PID != 0 {
		fmt.Fprintf(w, "# gate of process %d %s\n", r.PID, r.Process)
	} else {
		fmt.Fprintf(w, "# gate of this machine\n")
	}
	for i := range r.Entries {
		r.Entries[i].print(w)
	}
	if r.Vsyscall == "none" {
		fmt.Fprintf(w, "[vsyscall] none\n")
	}
	r.GateDSO.print(w)
	return w.Flush()
}

func (g *gateEntry) print(w io.Writer) {
	field := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-11s %s\n", name, escape.Text(fmt.Sprintf(format, args...)))
	}
	name := map[string]string{"vdso": "[vdso]", "vsyscall": "[vsyscall]", "line": "gate line"}[g.Gate]
	if g.Start != "" {
		fmt.Fprintf(w, "%s %s-%s %s\n", name, g.Start[2:], g.End[2:], g.Perm)
	} else {
		fmt.Fprintf(w, "%s of the %s ABI\n", name, g.ABI)
	}
	if g.Gate == "line" || g.Path != name && g.Path != "" {
		field("path", "%s", g.Path)
	}
	if g.Gate == "vsyscall" {
		mode := "emulate"
		if !strings.HasPrefix(g.Perm, "r") {
			mode = "xonly"
		}
		field("mode", "%s", mode)
	}
	if g.ABI != "" {
		field("abi", "%s, %s", g.ABI, g.Arch)
		field("size", "%d", g.Size)
		field("build-id", "%s", g.BuildID)
		field("soname", "%s", g.Soname)
		field("kernel", "%s", g.Kernel)
		field("registered", "%s", g.Registered.text())
	}
	for i := range g.Symbols {
		s := &g.Symbols[i]
		addr := s.Address
		if addr == "" {
			addr = s.Value
		}
		text := fmt.Sprintf("%s <%s> %d", addr[2:], s.Name, s.Size)
		if s.Version != "" {
			text += " " + s.Version
		}
		if s.Trampoline {
			text += " (signal handlers return to it)"
		}
		label := ""
		if i == 0 {
			label = "symbols"
		}
		field(label, "%s", text)
	}
}

func (r *gateRegistered) text() string {
	switch {
	case r == nil:
		return "no (bt gate register)"
	case r.Problem != "":
		return r.File + ": " + r.Problem
	case r.Full:
		return r.File + " (the same build, with all symbols)"
	}
	return r.File + " (the same build)"
}

// steps say what the steps of the precedence are.
var steps = [...]string{1: "the flag", 2: "the environment", 3: "the path in the maps", 4: "the sysctl", 5: "what is registered", 6: "nothing is set"}

func (g *gateSetting) print(w io.Writer) {
	value := g.Value
	switch value {
	case "":
		value = "unset: gate frames stay raw"
	case gate.Live:
		value = "live: the image in the process"
	}
	lines := []string{value, fmt.Sprintf("set by step %d, %s (%s)", g.Step, steps[g.Step], g.From)}
	if g.File != "" && g.File != g.Value {
		lines = append(lines, "file "+g.File)
	}
	switch {
	case g.Problem != "":
		lines = append(lines, g.Problem)
	case g.Matches != nil && *g.Matches:
		lines = append(lines, "it is the mapped image, by build ID")
	case g.File != "":
		lines = append(lines, "the mapped image is not known")
	}
	fmt.Fprintf(w, "gate_dso\n")
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", escape.Text(l))
	}
}

// gateABIs is what bt gate show --abis prints as JSON: see docs/schema.
type gateABIs struct {
	Schema string    `json:"$schema"`
	ABIs   []jsonABI `json:"abis"`
}

// jsonABI is a row of the table of gates.
type jsonABI struct {
	Arch        string   `json:"arch"`
	Machine     string   `json:"machine"` // ELF's name for it
	Class       int      `json:"class"`   // 32 or 64
	File        string   `json:"file"`
	Version     string   `json:"version,omitempty"`
	Trampolines []string `json:"trampolines"`
	From        string   `json:"trampolines_file,omitempty"`
	Entries     []string `json:"entries"`
}

// printABIs prints what is known of the gates of all architectures.
func (a *gateShow) printABIs() error {
	if a.json() {
		list := []jsonABI{}
		for _, g := range arch.Gates() {
			trampolines := append([]string{}, g.Trampolines...)
			list = append(list, jsonABI{g.Arch, g.Machine.String(), 32 * int(g.Class), g.File, g.Version, trampolines, g.From, g.Entries})
		}
		if a.format == formatJSON {
			return a.printJSON(gateABIs{btjson.SchemaBase + "gate-abis-1.json", list})
		}
		return a.printJSON(list)
	}
	w := bufio.NewWriter(a.stdout)
	for i, g := range arch.Gates() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n  symbols by    %s", g.Arch, g.File)
		if g.Version != "" {
			fmt.Fprintf(w, " (%s)", g.Version)
		}
		if len(g.Trampolines) > 0 {
			fmt.Fprintf(w, "\n  trampolines   %s\n  code          %s\n", strings.Join(g.Trampolines, " "), g.From)
		} else {
			fmt.Fprintf(w, "\n  trampolines   none: signal handlers return to code of libc's, or on the stack\n")
		}
		fmt.Fprintf(w, "  entry points  %s\n", strings.Join(g.Entries, " "))
	}
	return w.Flush()
}
