//go:build linux

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/gate/store"
	"github.com/gatedso/bt/internal/gate/vdso"
	"github.com/gatedso/bt/internal/render/json"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/maps"
)

// gateReport is what bt gate show prints, as JSON by docs/schema.
type gateReport struct {
	Schema   string      `json:"$schema"`
	PID      int         `json:"pid,omitempty"`
	Process  string      `json:"process,omitempty"`
	Entries  []gateEntry `json:"entries"`
	Vsyscall string      `json:"vsyscall"` // none, xonly, emulate
	GateDSO  gateSetting `json:"gate_dso"`
}

// gateEntry is one gate of a process, or the image of an ABI that no process
// was looked at for.
type gateEntry struct {
	Gate       string          `json:"gate"` // vdso, vsyscall, line
	Start      string          `json:"start,omitempty"`
	End        string          `json:"end,omitempty"`
	Perm       string          `json:"perm,omitempty"`
	Path       string          `json:"path,omitempty"`
	ABI        vdso.ABI        `json:"abi,omitempty"`
	Arch       string          `json:"arch,omitempty"`
	Size       int             `json:"size,omitempty"`
	BuildID    string          `json:"build_id,omitempty"`
	Soname     string          `json:"soname,omitempty"`
	Kernel     string          `json:"kernel,omitempty"`
	Symbols    []gateSymbol    `json:"symbols,omitempty"`
	Registered *gateRegistered `json:"registered,omitempty"`
}

type gateSymbol struct {
	Name       string `json:"name"`
	Version    string `json:"version,omitempty"`
	Value      string `json:"value"`             // link-time address
	Address    string `json:"address,omitempty"` // in the process
	Size       uint64 `json:"size"`
	Trampoline bool   `json:"trampoline,omitempty"` // signal handlers return to it
}

// gateRegistered is the registered file of an image's build ID.
type gateRegistered struct {
	File    string `json:"file"`
	Matches bool   `json:"matches"` // it is a complete file of the same build
	Full    bool   `json:"full"`    // it has all symbols, not only the exported ones
	Problem string `json:"problem,omitempty"`
}

// gateSetting is what names the gate.
type gateSetting struct {
	Value   string `json:"value"` // a path, live, registered, or "" for unset
	Step    int    `json:"step"`  // of the precedence: 1 the flag … 6 nothing set
	From    string `json:"from"`
	File    string `json:"file,omitempty"`
	Matches *bool  `json:"matches,omitempty"` // whether File is the mapped image
	Problem string `json:"problem,omitempty"`
}

// gateShow is bt gate show.
type gateShow struct {
	*target
	pidFlag
	jsonFlag

	abis bool
}

func newGateShow(a *app) *cobra.Command {
	c := new(gateShow)
	cmd := &cobra.Command{
		Use:   "show [--pid N] [--format json]",
		Short: "Show the gate DSO of this machine or of a process, and what names it",
		Long: `Shows the gate entry by entry: where it is mapped, its ABI, build ID and symbols,
whether it is registered, and what kernel.gate_dso and its like are set to. Without
--pid these are bt's own entries and the images of the kernel's other ABIs. With
--abis it prints what is known of the gates of all architectures.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.abis {
				return c.printABIs()
			}
			pid, err := c.one(cmd)
			if err != nil {
				return err
			}
			r, err := c.gateReport(pid)
			if err != nil {
				return err
			}
			if c.json() {
				return c.printJSON(r)
			}
			return r.print(c.stdout)
		},
	}
	c.target = newTarget(a, cmd)
	c.pidFlag.register(cmd)
	c.jsonFlag.register(cmd)
	c.set.BoolVar(&c.abis, "abis", false, "print the gates of all architectures instead")
	c.gateFlag()
	c.stateDirFlag()
	c.procfsFlag()
	return cmd
}

// gateReport looks at the gate of a process, or of this machine where pid is 0.
func (a *gateShow) gateReport(pid int) (*gateReport, error) {
	r := &gateReport{Schema: json.SchemaBase + "gate-1.json", PID: pid, Entries: []gateEntry{}}
	m, im, err := a.gateOf(pid, r)
	if err != nil {
		return nil, err
	}
	r.Vsyscall = "none"
	for _, e := range m.Gates() {
		g := gateEntry{Start: hexAddr(e.Start), End: hexAddr(e.End), Perm: e.Perm.String(), Path: escape.Name(e.Path)}
		switch m.GateOf(e) {
		case maps.VDSO:
			g.Gate = "vdso"
			if im != nil && im.Start == e.Start {
				a.describe(&g, im)
			}
		case maps.Vsyscall:
			g.Gate = "vsyscall"
			// arch/x86/entry/vsyscall: readable for old programs that
			// look at the code; it is emulated either way.
			r.Vsyscall = "xonly"
			if e.Perm&maps.Read != 0 {
				r.Vsyscall = "emulate"
			}
			for _, s := range gate.Vsyscalls() {
				g.Symbols = append(g.Symbols, gateSymbol{Name: s.Name, Value: hexAddr(s.Addr), Address: hexAddr(s.Addr), Size: s.Size})
			}
		case maps.Line:
			g.Gate = "line"
		}
		r.Entries = append(r.Entries, g)
	}
	if pid == 0 {
		for _, other := range vdso.ABIs() {
			if im != nil && im.ABI() == other {
				continue
			}
			if o, err := vdso.ForABI(other); err == nil {
				g := gateEntry{Gate: "vdso"}
				o.Start, o.End = 0, 0 // of a process that is gone
				a.describe(&g, o)
				r.Entries = append(r.Entries, g)
			} else if !errors.Is(err, vdso.ErrNoABI) {
				a.incomplete("%v", err)
			}
		}
	}
	r.GateDSO = a.settingOf(m, im)
	return r, nil
}

// gateOf reads the maps and the gate image, which may be nil, of a process, or
// of bt itself where pid is 0.
func (a *gateShow) gateOf(pid int, r *gateReport) (*maps.Map, *vdso.Image, error) {
	if pid == 0 || a.savedProcfs() {
		dir := "/proc/self"
		if pid != 0 {
			dir = filepath.Join(a.procfs, strconv.Itoa(pid))
		}
		text, err := os.ReadFile(filepath.Join(dir, "maps"))
		if err != nil {
			return nil, nil, err
		}
		m, err := maps.Parse(text)
		if err != nil || pid != 0 {
			return m, nil, err
		}
		im, err := vdso.Own()
		return m, im, a.unlessNone(err)
	}
	p, err := a.openProcess(pid)
	if err != nil {
		return nil, nil, err
	}
	defer p.Close()
	r.PID, r.Process = p.PID, escape.Name(session.ProcessName(p))
	text, err := p.Maps()
	if err != nil {
		return nil, nil, err
	}
	m, err := maps.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("process %d: %w", p.PID, err)
	}
	im, err := vdso.FromProcess(p, fmt.Sprintf("process %d", p.PID))
	return m, im, a.unlessNone(err)
}

// unlessNone says why an image cannot be read; that there is none is no fault.
func (a *gateShow) unlessNone(err error) error {
	if err != nil && !errors.Is(err, vdso.ErrNone) {
		a.incomplete("%v", err)
	}
	return nil
}

// describe fills in what an image says of itself, and its registered file.
func (a *gateShow) describe(g *gateEntry, im *vdso.Image) {
	known := arch.GateOf(im.Machine, im.Class)
	info := im.Info()
	g.ABI, g.Size, g.Soname, g.Kernel = im.ABI(), len(im.File), info.Soname, info.Kernel
	g.BuildID = hex.EncodeToString(im.BuildID())
	if known != nil {
		g.Arch = known.Arch
	}
	bias := im.GateBias(im.Start, im.End)
	for _, s := range info.Symbols {
		sym := gateSymbol{Name: s.Name, Version: s.Version, Value: hexAddr(s.Value), Size: s.Size, Trampoline: known.IsTrampoline(s.Name)}
		if im.Start != 0 {
			sym.Address = hexAddr(s.Value + bias)
		}
		g.Symbols = append(g.Symbols, sym)
	}
	g.Registered = a.registered(im)
}

// registered looks for an image's registered file, nil when there is none.
func (a *gateShow) registered(im *vdso.Image) *gateRegistered {
	for _, dir := range a.stateDirs() {
		s, err := store.Open(dir)
		if err != nil {
			continue // the setting says so
		}
		path, ok := s.Lookup(im.BuildID())
		if !ok {
			continue
		}
		r := &gateRegistered{File: path}
		f, err := vdso.ReadFile(path)
		switch {
		case err != nil:
			r.Problem = escape.Error(err)
		case !vdso.SameBuild(f, im):
			r.Problem = "another build than the mapped image"
		default:
			r.Matches, r.Full = true, f.Full()
		}
		return r
	}
	return nil
}

// settingOf tells what names the gate of m, whose image is im or unknown.
func (a *gateShow) settingOf(m *maps.Map, im *vdso.Image) gateSetting {
	set := a.session().Gate(m)
	g := gateSetting{Value: set.Value, Step: set.Step(), From: set.From}
	if set.Unset() {
		return g
	}
	var mapped gate.Mapped
	if im != nil {
		mapped = gate.Mapped{BuildID: im.BuildID(), Machine: im.Machine}
	}
	f, err := set.Open(mapped)
	a.gateProblem(err)
	matches := err == nil && mapped.BuildID != nil
	if err != nil {
		g.Problem = escape.Error(err)
	}
	if f != nil {
		g.File = f.Name
		f.Close()
	} else if err != nil && set.Value != gate.Registered {
		g.File = set.Value
	}
	if g.File != "" && (err != nil || mapped.BuildID != nil) {
		g.Matches = &matches
	}
	return g
}

// hexAddr is an address as JSON has it.
func hexAddr(addr uint64) string { return "0x" + strconv.FormatUint(addr, 16) }
