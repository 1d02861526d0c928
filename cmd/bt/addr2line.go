//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/addr2line"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/packed"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/symbolize"
)

const addr2lineName = "addr2line"

const addr2lineUsage = `Usage: addr2line [option(s)] [addr(s)]
 Convert addresses into line number/file name pairs, as binutils' addr2line does.
 If no addresses are given, they are read from standard input, one on each line.
 The options are:
  @FILE                   read options from FILE
  -a, --addresses         show addresses
  -b, --target=NAME       ignored: bt reads ELF files
  -e, --exe=FILE          the file, default a.out
  -i, --inlines           show inlined calls
  -j, --section=NAME      addresses are offsets in a section
  -p, --pretty-print      one line for each function
  -s, --basenames         without directories
  -f, --functions         show function names
  -C, --demangle[=STYLE]  demangle function names
  -R, -r                  ignored: demangling is always bounded
  -h, --help              show this
  -v, --version           show the version
`

func newAddr2lineCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   addr2lineName + " [options] [ADDR...]",
		Short: "Be binutils' addr2line",
		Long: addr2lineUsage + "\nbt is that, too, when it is called addr2line, by a symbolic link for example.\n\n" +
			"Exit status: 0 all addresses were answered, 1 the file cannot be read, or an option is unknown.",
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			a.status = a.addr2line("bt "+addr2lineName, args)
			return nil
		},
	}
}

// calledAddr2line reports whether bt was started under the name addr2line, with a
// prefix for another system if need be.
func calledAddr2line(arg0 string) bool {
	name := filepath.Base(arg0)
	return name == addr2lineName || filepath.Ext(name) == "" && len(name) > len(addr2lineName) && name[len(name)-len(addr2lineName)-1:] == "-"+addr2lineName
}

// addr2line does what binutils' addr2line does, and returns its exit status.
// program is what messages begin with.
func (a *app) addr2line(program string, args []string) int {
	fail := func(err error) int {
		a.stderr.WriteString(program + ": " + err.Error() + "\n")
		return exitNothing
	}
	o, err := addr2line.Parse(args)
	var usage addr2line.UsageError
	switch {
	case errors.As(err, &usage):
		fail(err)
		a.stderr.WriteString(addr2lineUsage)
		return exitNothing
	case err != nil:
		return fail(err)
	case o.Help:
		a.stdout.WriteString(addr2lineUsage)
		return exitOK
	case o.Version:
		a.stdout.WriteString("bt " + version() + ", as GNU addr2line (GNU Binutils) 2.40\n")
		return exitOK
	}
	if _, err := os.Stat(o.Exe); errors.Is(err, os.ErrNotExist) {
		return fail(errors.New("'" + o.Exe + "': No such file"))
	}
	im, err := packed.OpenELF(o.Exe)
	if err != nil {
		if errors.Is(err, elfsym.ErrNotELF) {
			err = errors.New(o.Exe + ": file format not recognized")
		}
		return fail(err)
	}
	mode := symbolize.None
	if o.Demangle {
		mode = symbolize.Full
	}
	s := session.New(session.Options{DebugDirs: []string{debugfile.DefaultDir}, Demangle: mode, Lines: true})
	defer s.Close()
	names := s.Names(nil)
	names.BareNames = true
	f := addr2line.File{Image: image.NewImage(im), Symbols: symbolize.NewForImage(names)}
	if err := f.Run(a.stdin, a.stdout, o); err != nil {
		if errors.Is(err, addr2line.ErrNoSection) {
			err = errors.New(o.Exe + ": " + err.Error())
		}
		return fail(err)
	}
	return exitOK
}
