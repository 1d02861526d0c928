package cfi

import (
	"bytes"
	"context"
	"debug/elf"
	"os/exec"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// elfConfig reads the call frame information of an ELF file.
func elfConfig(t testing.TB, path string) (Config, *elf.File) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	section := func(name string) Section {
		s := f.Section(name)
		if s == nil || s.Type == elf.SHT_NOBITS {
			return Section{}
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		if name == ".eh_frame" {
			relocate(t, f, data)
		}
		return Section{s.Addr, data}
	}
	c := Config{
		EhFrame:    section(".eh_frame"),
		EhFrameHdr: section(".eh_frame_hdr"),
		DebugFrame: section(".debug_frame"),
		PtrSize:    8,
		Order:      f.ByteOrder,
		TextBase:   section(".text").Addr,
		DataBase:   section(".got").Addr,
	}
	if f.Class == elf.ELFCLASS32 {
		c.PtrSize = 4
	}
	return c, f
}

func registerNames(m elf.Machine) []string {
	switch m {
	case elf.EM_386:
		return i386Names
	case elf.EM_AARCH64:
		return arm64Names
	}
	return amd64Names
}

// diffReadelf compares rows with readelf's: all of them, or those of the first
// limit FDEs.
func diffReadelf(t *testing.T, path string, limit int) {
	readelf := testenv.Need(t, "readelf", "binutils")
	config, f := elfConfig(t, path)
	names := registerNames(f.Machine)

	// Each section by itself, or else .eh_frame would hide .debug_frame;
	// the former by its header and by an index.
	byHdr, byIndex, debug := config, config, config
	byHdr.DebugFrame = Section{}
	byIndex.DebugFrame, byIndex.EhFrameHdr = Section{}, Section{}
	debug.EhFrame, debug.EhFrameHdr = Section{}, Section{}
	tables := map[string][]*Table{
		".eh_frame":    {New(byHdr), New(byIndex)},
		".debug_frame": {New(debug)},
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := exec.CommandContext(ctx, readelf, "--debug-dump=frames-interp,no-follow-links", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var row Row
	fdes, rows, bad := 0, 0, 0
	err = parseReadelf(out, names, func(f *refFDE) bool {
		if f.start == f.end {
			return true
		}
		for _, table := range tables[f.section] {
			for i, ref := range f.rows {
				if ref.start >= f.end {
					continue // an advance up to the very end, or beyond it
				}
				end := f.end - 1
				if i+1 < len(f.rows) {
					end = min(end, f.rows[i+1].start-1)
				}
				for _, pc := range []uint64{ref.start, end} {
					err := table.Row(pc, &row)
					if err == nil {
						diff := f.compare(i, &row, names)
						if len(diff) == 0 {
							continue
						}
						t.Errorf("%s+%#x: row for %#x: %q", f.section, f.offset, pc, diff)
					} else {
						t.Errorf("%s+%#x: row for %#x: %v", f.section, f.offset, pc, err)
					}
					if bad++; bad == 20 {
						t.Error("more differences not shown")
						return false
					}
				}
				rows++
			}
		}
		fdes++
		return fdes != limit
	})
	if err != nil {
		t.Errorf("readelf's output: %v", err)
	}
	stopped := err != nil || bad != 0 || limit != 0 && fdes >= limit
	if stopped {
		stop()
	}
	if err := cmd.Wait(); err != nil && !stopped {
		t.Errorf("readelf: %v: %s", err, stderr.Bytes())
	}
	if fdes == 0 {
		t.Error("readelf shows no FDE")
	}
	t.Logf("%d FDEs, %d rows compared", fdes, rows)
}
