//go:build linux

package main

import (
	"bufio"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/flame"
	"github.com/gatedso/bt/internal/render/folded"
	"github.com/gatedso/bt/internal/render/gdb"
	"github.com/gatedso/bt/internal/render/json"
	"github.com/gatedso/bt/internal/render/perf"
	"github.com/gatedso/bt/internal/render/pprof"
	"github.com/gatedso/bt/internal/render/text"
)

// The values of --format.
const (
	formatText   = "text"
	formatJSON   = "json"
	formatGDB    = "gdb"
	formatFolded = "folded"
	formatPprof  = "pprof"
	formatFlame  = "flame"
	formatPerf   = "perf"
)

// formats are those of stacks.
var formats = []string{formatText, formatJSON, formatGDB, formatFolded, formatPprof, formatFlame, formatPerf}

// formatFlag is --format.
func (v *view) formatFlag(cmd *cobra.Command, words ...string) {
	choiceFlag(cmd, &v.format, "format", "f", words, "`FORMAT` of the output: "+orList(words))
}

// checkFormat refuses flags that mean nothing in the format. Those that only choose
// what text has room for, columns and colours, are no mistake in others.
func (v *view) checkFormat() error {
	structured := v.format == formatText || v.format == formatJSON
	switch {
	case v.group && !structured:
		return usagef("--group is for --format text and json: %s has one stack after the other, or counts those that are alike", v.format)
	case v.withMaps && !structured:
		return usagef("--with-maps is for --format text and json")
	}
	return nil
}

// commonOptions are the options that all formats have.
func (v *view) commonOptions() render.Options {
	return render.Options{Raw: v.raw, Basenames: v.basenames, Group: v.group, Brief: v.brief, Verbose: v.verbose}
}

// newFormat begins the output in the format that is asked for.
func (v *view) newFormat(w *bufio.Writer, out *output) render.Format {
	o := v.commonOptions()
	switch v.format {
	case formatJSON:
		return &json.Writer{W: w, Options: o}
	case formatGDB:
		return &gdb.Writer{W: w, Options: o}
	case formatFolded:
		return &folded.Writer{W: w, Options: o}
	case formatPprof:
		return &pprof.Writer{W: w, Options: o}
	case formatFlame:
		return &flame.Writer{W: w, Options: o}
	case formatPerf:
		return &perf.Writer{W: w, Options: o}
	}
	return &text.Printer{W: w, Options: v.textOptions(out)}
}

// jsonFlag is --format of the commands that print no stacks. --json is older: it
// prints lists without an object around them, which names no schema.
type jsonFlag struct {
	format  string
	oldFlag bool
}

func (j *jsonFlag) register(cmd *cobra.Command) {
	j.format = formatText
	words := []string{formatText, formatJSON}
	choiceFlag(cmd, &j.format, "format", "f", words, "`FORMAT` of the output: "+orList(words))
	cmd.Flags().BoolVar(&j.oldFlag, "json", false, "print JSON")
}

// json reports whether JSON is wanted.
func (j *jsonFlag) json() bool { return j.oldFlag || j.format == formatJSON }
