//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/render/json"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// mapsCommand is bt maps.
type mapsCommand struct {
	*target
	pidFlag
	jsonFlag

	classic bool
}

func newMapsCommand(a *app) *cobra.Command {
	c := new(mapsCommand)
	cmd := &cobra.Command{
		Use:   "maps --pid N [--format json | --classic]",
		Short: "Print a process's mappings: their build IDs, their files, and the gate",
		Long: `Prints /proc/PID/maps as it is, then a line for the gate as kernels with the
gate_dso sysctl print it, last and with the path of the file that names the gate;
then comment lines with the build ID of each file with code, and how it was opened.
Code that was moved out of its file's mapping, for huge pages, is shown in it.
bt --maps and bt itself read this. With --classic it prints /proc/PID/maps alone,
but with that path in place of [vdso]. The process is not stopped.`,
		Example: `  # Keep the maps with a log of addresses, to name them later
  bt maps --pid 1234 > saved.maps
  bt --maps saved.maps < addresses`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pid, err := c.one(cmd)
			switch {
			case err != nil:
				return err
			case pid == 0:
				return usagef("maps needs --pid N")
			case c.json() && c.classic:
				return usagef("--format json and --classic exclude each other")
			}
			p, err := c.openMaps(pid)
			if err != nil {
				return err
			}
			defer p.close()
			switch {
			case c.classic:
				return c.classicMaps(p)
			case c.json():
				return c.jsonMaps(p)
			}
			return c.textMaps(p)
		},
	}
	c.target = newTarget(a, cmd)
	c.pidFlag.register(cmd)
	c.jsonFlag.register(cmd)
	c.set.BoolVar(&c.classic, "classic", false, "print the maps alone, with the gate DSO's path in place of [vdso]")
	c.gateFlag()
	c.stateDirFlag()
	c.set.StringVar(&c.sysroot, "sysroot", "", "look for the files that the maps name below `DIR`")
	c.procfsFlag()
	return cmd
}

// mappings are a process's maps as bt sees them.
type mappings struct {
	pid   int
	text  []byte // as the kernel wrote them
	space *image.Space
	close func()

	gate     *maps.Mapping // [vdso], or nil
	gateFile string        // absolute path of the file that names it, or ""
}

// openMaps reads the maps of a process and finds the file that names its gate.
func (a *mapsCommand) openMaps(pid int) (*mappings, error) {
	p := &mappings{pid: pid, close: func() {}}
	var src image.Source
	var err error
	if a.savedProcfs() {
		p.text, err = os.ReadFile(filepath.Join(a.procfs, strconv.Itoa(pid), "maps"))
	} else {
		var proc *live.Process
		if proc, err = a.openProcess(pid); err != nil {
			return nil, err
		}
		p.pid, p.close = proc.PID, func() { proc.Close() }
		src = snapshot.Source(proc, a.sysroot)
		p.text, err = proc.Maps()
	}
	var m *maps.Map
	if err == nil {
		if m, err = maps.Parse(p.text); err != nil {
			err = fmt.Errorf("process %d: %w", pid, err)
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	if src == nil {
		src = &image.Files{Maps: m, Sysroot: a.sysroot}
	}
	p.space = image.NewSpace(m, src, a.session().Images)
	a.findGateFile(p, m)
	return p, nil
}

// findGateFile finds the file that names the gate of p.
func (a *mapsCommand) findGateFile(p *mappings, m *maps.Map) {
	for _, mod := range p.space.Modules() {
		if mod.Gate != maps.VDSO {
			continue
		}
		start, _ := mod.Range()
		p.gate = m.Find(start)
		set := a.session().Gate(m)
		if set.Unset() {
			return
		}
		im, err := set.Open(symbolize.MappedGate(mod))
		a.gateProblem(err)
		if err != nil || im == nil {
			return
		}
		defer im.Close()
		if p.gateFile, err = filepath.Abs(im.Name); err != nil {
			a.incomplete("%v", err)
		}
		return
	}
}

// classicMaps prints the kernel's text, but for [vdso].
func (a *mapsCommand) classicMaps(p *mappings) error {
	text := p.text
	if p.gate != nil && p.gateFile == "" {
		a.incomplete("no file names the gate DSO, so [vdso] stays: bt gate register, or use --gate-dso")
	}
	if p.gateFile != "" {
		var out []byte
		for line := range bytes.Lines(text) {
			e, err := maps.ParseLine(bytes.TrimSuffix(line, []byte("\n")))
			if rest, ok := bytes.CutSuffix(line, []byte("[vdso]\n")); ok && err == nil && e.Start == p.gate.Start {
				line = append(bytes.Clone(rest), strings.ReplaceAll(p.gateFile, "\n", `\012`)+"\n"...)
			}
			out = append(out, line...)
		}
		text = out
	}
	if isTerminal(a.stdout) {
		text = escapeLines(text)
	}
	_, err := a.stdout.Write(text)
	return err
}

// escapeLines makes the kernel's text fit for a terminal.
func escapeLines(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		line, _ = bytes.CutSuffix(line, []byte("\n"))
		out = append(out, escape.Text(string(line))...)
		out = append(out, '\n')
	}
	return out
}

// textMaps prints the kernel's text, the gate line and comment lines.
func (a *mapsCommand) textMaps(p *mappings) error {
	w := bufio.NewWriter(a.stdout)
	w.Write(escapeLines(p.withFiles()))
	if line, ok := p.gateLine(); ok {
		w.WriteString(escape.Text(string(maps.AppendLine(nil, &line))))
		w.WriteByte('\n')
	}
	for _, mod := range p.space.Modules() {
		if !mod.HasCode() {
			continue
		}
		path := escape.Name(mod.Path)
		if id := mod.MappedBuildID(); id != nil {
			fmt.Fprintf(w, "# build-id %s %s\n", hex.EncodeToString(id), path)
		}
		if mod.Gate == maps.Vsyscall {
			continue // no ELF image
		}
		if via, err := opened(mod); err != nil {
			fmt.Fprintf(w, "# file none %s (%s)\n", path, escape.Sprintf("%v", err))
		} else {
			fmt.Fprintf(w, "# file %s %s\n", via, path)
		}
	}
	return w.Flush()
}

// withFiles is the kernel's text, but code that a program has moved to other memory
// is shown in its file's mapping, as long as its bytes are the file's.
func (p *mappings) withFiles() []byte {
	entries := p.space.FileEntries()
	if len(entries) == len(p.space.Maps.Entries) && &entries[0] == &p.space.Maps.Entries[0] {
		return p.text
	}
	var out []byte
	for i := range entries {
		out = append(maps.AppendLine(out, &entries[i]), '\n')
	}
	return out
}

// opened opens a module's file and says how.
func opened(mod *image.Module) (via string, err error) {
	if _, err := mod.Image(); err != nil {
		return "", err
	}
	return mod.Via(), nil
}

// gateLine is the gate in the form of the kernel patch of 2003. A kernel that
// prints it needs none of bt's.
func (p *mappings) gateLine() (line maps.Mapping, ok bool) {
	m := p.space.Maps
	if p.gate == nil {
		return line, false
	}
	for _, e := range m.Gates() {
		if m.GateOf(e) == maps.Line {
			return line, false
		}
	}
	return maps.Mapping{Start: p.gate.Start, End: p.gate.End, Path: p.gateFile, Padded: p.gateFile == ""}, true
}

// mapsReport is what bt maps prints as JSON: see docs/schema.
type mapsReport struct {
	Schema   string      `json:"$schema"`
	PID      int         `json:"pid"`
	Mappings []jsonEntry `json:"mappings"`
	GateDSO  *jsonGate   `json:"gate_dso"` // null without a gate
}

type jsonEntry struct {
	Start   string `json:"start"`
	End     string `json:"end"`
	Perm    string `json:"perm"`
	Offset  string `json:"offset"`
	Dev     string `json:"dev"`
	Inode   uint64 `json:"inode"`
	Path    string `json:"path,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Gate    string `json:"gate,omitempty"` // vdso, vsyscall, line
	BuildID string `json:"build_id,omitempty"`
	Via     string `json:"via,omitempty"`     // how the file was opened; for files with code
	Problem string `json:"problem,omitempty"` // why it was not
}

type jsonGate struct {
	Start string `json:"start"`
	End   string `json:"end"`
	File  string `json:"file,omitempty"` // that names it
}

// jsonMaps prints the same as JSON.
func (a *mapsCommand) jsonMaps(p *mappings) error {
	m := p.space.Maps
	r := mapsReport{Schema: json.SchemaBase + "maps-1.json", PID: p.pid, Mappings: []jsonEntry{}}
	for i := range m.Entries {
		e := &m.Entries[i]
		j := jsonEntry{
			Start: hexAddr(e.Start), End: hexAddr(e.End), Perm: e.Perm.String(), Offset: hexAddr(e.Offset),
			Dev: fmt.Sprintf("%02x:%02x", e.Major(), e.Minor()), Inode: e.Inode, Path: escape.Name(e.Path), Deleted: e.Deleted,
			Gate: gateNamesJSON[m.GateOf(e)],
		}
		if mod := p.space.Locate(e.Start).Module; mod != nil && mod.HasCode() && m.GateOf(e) == mod.Gate {
			if id := mod.MappedBuildID(); id != nil {
				j.BuildID = hex.EncodeToString(id)
			}
			if mod.Gate != maps.Vsyscall {
				via, err := opened(mod)
				if j.Via = via; err != nil {
					j.Problem = escape.Error(err)
				}
			}
		}
		r.Mappings = append(r.Mappings, j)
	}
	if p.gate != nil {
		r.GateDSO = &jsonGate{Start: hexAddr(p.gate.Start), End: hexAddr(p.gate.End), File: escape.Name(p.gateFile)}
	}
	return a.printJSON(r)
}

var gateNamesJSON = map[maps.Gate]string{maps.VDSO: "vdso", maps.Vsyscall: "vsyscall", maps.Line: "line"}
