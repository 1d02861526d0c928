package cfi

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// refFDE is an FDE as `readelf --debug-dump=frames-interp` shows it.
type refFDE struct {
	section    string
	offset     uint64
	start, end uint64
	signal     bool
	ra         int
	rows       []refRow // of increasing start; the first is at the FDE's start
}

// refRow is one row of it. regs holds the cells of the columns that readelf
// shows, by register number.
type refRow struct {
	start uint64
	cfa   string
	regs  map[int]string
}

// refCIE is what FDEs inherit.
type refCIE struct {
	signal bool
	ra     int
	row    *refRow
}

// parseReadelf calls yield for every FDE that readelf prints, until it returns
// false. names are the registers of the machine, by number.
func parseReadelf(r io.Reader, names []string, yield func(*refFDE) bool) error {
	number := make(map[string]int)
	for i, n := range names {
		number[n] = i
	}
	var (
		section string
		cies    map[string]*refCIE
		cie     *refCIE
		fde     *refFDE
		cols    []string
	)
	done := func() bool {
		f := fde
		fde = nil
		return f == nil || yield(f)
	}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, "Contents of the "); ok {
			if !done() {
				return nil
			}
			section, _, _ = strings.Cut(rest, " ")
			cies, cie = make(map[string]*refCIE), nil
			continue
		}
		f := strings.Fields(line)
		if len(f) == 0 || section == "" || strings.HasSuffix(line, " ZERO terminator") {
			continue
		}
		switch {
		case len(f) >= 5 && f[3] == "CIE":
			if !done() {
				return nil
			}
			cie = &refCIE{signal: strings.Contains(f[4], "S")}
			var err error
			if cie.ra, err = strconv.Atoi(strings.TrimPrefix(f[len(f)-1], "ra=")); err != nil {
				return fmt.Errorf("%q: %v", line, err)
			}
			cies[f[0]] = cie
		case len(f) >= 6 && f[3] == "FDE":
			if !done() {
				return nil
			}
			fde = &refFDE{section: section}
			var err error
			if fde.offset, err = strconv.ParseUint(f[0], 16, 64); err != nil {
				return fmt.Errorf("%q: %v", line, err)
			}
			c := cies[strings.TrimPrefix(f[4], "cie=")]
			if c == nil {
				return fmt.Errorf("%q: unknown CIE", line)
			}
			start, end, _ := strings.Cut(strings.TrimPrefix(f[5], "pc="), "..")
			fde.start, _ = strconv.ParseUint(start, 16, 64)
			fde.end, _ = strconv.ParseUint(end, 16, 64)
			fde.signal, fde.ra = c.signal, c.ra
			if c.row != nil {
				// readelf prints no rows for an FDE without
				// instructions: the CIE's row holds.
				fde.rows = append(fde.rows, refRow{fde.start, c.row.cfa, c.row.regs})
			}
			cie = nil
		case f[0] == "LOC":
			cols = f
		default:
			// A register in a cell is written "r9 (r9)".
			f = slices.DeleteFunc(f, func(s string) bool { return s[0] == '(' })
			loc, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil || len(f) != len(cols) {
				return fmt.Errorf("%q: not understood", line)
			}
			row := refRow{start: loc, cfa: f[1], regs: make(map[int]string)}
			ra := 0
			switch {
			case fde != nil:
				ra = fde.ra
			case cie != nil:
				ra = cie.ra
			}
			for i := 2; i < len(f); i++ {
				n, ok := number[cols[i]]
				if cols[i] == "ra" {
					n, ok = ra, true
				}
				if !ok {
					return fmt.Errorf("%q: unknown register", cols[i])
				}
				row.regs[n] = f[i]
			}
			switch {
			case fde == nil && cie == nil:
				return fmt.Errorf("%q: row of nothing", line)
			case fde == nil:
				cie.row = &row
			case len(fde.rows) > 0 && fde.rows[len(fde.rows)-1].start == loc:
				fde.rows[len(fde.rows)-1] = row // an advance by 0
			default:
				fde.rows = append(fde.rows, row)
			}
		}
	}
	if err := sc.Err(); err != nil {
		return err
	}
	done()
	return nil
}

// cell renders a rule as readelf does.
func cell(r Rule) string {
	switch r.Kind {
	case Unspecified, Undefined: // readelf does not tell them apart
		return "u"
	case SameValue:
		return "s"
	case Offset:
		return fmt.Sprintf("c%+d", r.N)
	case ValOffset:
		return fmt.Sprintf("v%+d", r.N)
	case Register:
		return fmt.Sprintf("r%d", r.Reg)
	case Expression:
		return "exp"
	case ValExpression:
		return "vexp"
	}
	return "?"
}

// cfaCell renders a CFA rule as readelf does.
func cfaCell(r Rule, names []string) string {
	switch r.Kind {
	case Register:
		return fmt.Sprintf("%s%+d", names[r.Reg], r.N)
	case ValExpression:
		return "exp"
	}
	return "?"
}

// compare lists how row differs from rows[i] of f.
func (f *refFDE) compare(i int, row *Row, names []string) []string {
	var diff []string
	differ := func(what string, got, want any) {
		if got != want {
			diff = append(diff, fmt.Sprintf("%s: %v, readelf has %v", what, got, want))
		}
	}
	ref := &f.rows[i]
	end := f.end
	if i+1 < len(f.rows) {
		end = min(end, f.rows[i+1].start)
	}
	differ("start", fmt.Sprintf("%#x", row.Start), fmt.Sprintf("%#x", ref.start))
	differ("end", fmt.Sprintf("%#x", row.End), fmt.Sprintf("%#x", end))
	differ("func", fmt.Sprintf("%#x..%#x", row.Func, row.FuncEnd), fmt.Sprintf("%#x..%#x", f.start, f.end))
	differ("signal", row.Signal, f.signal)
	differ("ra", int(row.RA), f.ra)
	differ("cfa", cfaCell(row.CFA, names), ref.cfa)
	for n := range row.Regs {
		want, ok := ref.regs[n]
		if !ok {
			want = "u"
		}
		differ(names[n], cell(row.Regs[n]), want)
	}
	return diff
}

var (
	amd64Names = append(strings.Fields("rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip"),
		numbered("xmm", 17)...)
	i386Names  = append(strings.Fields("eax ecx edx ebx esp ebp esi edi eip eflags"), numbered("r", 25)...)
	arm64Names = append(append(numbered("x", 31), "sp", "pc", "elr", "ra_sign_state"), numbered("?", 20)...)
)

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	return names
}
