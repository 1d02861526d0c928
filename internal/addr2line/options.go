// Package addr2line is what binutils' addr2line is for the programs that call
// it: the same options, the same output to the byte, and each line of input
// answered at once. perf, pprof, sanitizers and scripts take it for the real one.
package addr2line

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Options are the options of the command line.
type Options struct {
	Exe       string // the file, "a.out" unless given
	Section   string // addresses are offsets in it
	Addresses bool   // print the address first
	Basenames bool
	Functions bool
	Inlines   bool
	Pretty    bool
	Demangle  bool
	Help      bool
	Version   bool

	Addrs []string // what is to be looked up; none: lines of standard input
}

// long are the long options, with their short ones.
var long = map[string]byte{
	"addresses": 'a', "target": 'b', "demangle": 'C', "exe": 'e', "functions": 'f', "inlines": 'i',
	"section": 'j', "pretty-print": 'p', "basenames": 's', "recurse-limit": 'R', "no-recurse-limit": 'r',
	"help": 'h', "version": 'v',
}

// UsageError is a mistake in the arguments, after which addr2line prints its usage.
type UsageError struct{ msg string }

func (e UsageError) Error() string { return e.msg }

// Parse reads the arguments as getopt_long does, those of files named @FILE among
// them.
func Parse(args []string) (o Options, err error) {
	o.Exe = "a.out"
	if args, err = expand(args, 0); err != nil {
		return o, err
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			o.Addrs = append(o.Addrs, args...)
			return o, nil
		case strings.HasPrefix(arg, "--"):
			if args, err = o.long(arg[2:], args); err != nil {
				return o, err
			}
		case len(arg) > 1 && arg[0] == '-':
			if args, err = o.short(arg[1:], args); err != nil {
				return o, err
			}
		default:
			o.Addrs = append(o.Addrs, arg)
		}
	}
	return o, nil
}

// short takes in a group of short options.
func (o *Options) short(group string, args []string) ([]string, error) {
	for i := 0; i < len(group); i++ {
		c := group[i]
		if !strings.ContainsRune("bej", rune(c)) {
			if !o.set(c, "") {
				return nil, UsageError{fmt.Sprintf("invalid option -- '%c'", c)}
			}
			continue
		}
		value := group[i+1:]
		if value == "" {
			if len(args) == 0 {
				return nil, UsageError{fmt.Sprintf("option requires an argument -- '%c'", c)}
			}
			value, args = args[0], args[1:]
		}
		o.set(c, value)
		break
	}
	return args, nil
}

// long takes in a long option, which may be cut as long as it is the only one.
func (o *Options) long(arg string, args []string) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	var found []string
	for l := range long {
		if l == name {
			found = []string{l}
			break
		}
		if strings.HasPrefix(l, name) {
			found = append(found, l)
		}
	}
	switch len(found) {
	case 0:
		return nil, UsageError{fmt.Sprintf("unrecognized option '--%s'", arg)}
	case 1:
	default:
		return nil, UsageError{fmt.Sprintf("option '--%s' is ambiguous", arg)}
	}
	name = found[0]
	switch name {
	case "exe", "section", "target":
		if !given {
			if len(args) == 0 {
				return nil, UsageError{fmt.Sprintf("option '--%s' requires an argument", name)}
			}
			value, args = args[0], args[1:]
		}
	case "demangle":
	default:
		if given {
			return nil, UsageError{fmt.Sprintf("option '--%s' doesn't allow an argument", name)}
		}
	}
	o.set(long[name], value)
	return args, nil
}

func (o *Options) set(c byte, value string) bool {
	switch c {
	case 'a':
		o.Addresses = true
	case 'C':
		o.Demangle = true // in whatever style: bt knows by the name
	case 'e':
		o.Exe = value
	case 'f':
		o.Functions = true
	case 'i':
		o.Inlines = true
	case 'j':
		o.Section = value
	case 'p':
		o.Pretty = true
	case 's':
		o.Basenames = true
	case 'h', 'H':
		o.Help = true
	case 'v', 'V':
		o.Version = true
	case 'b', 'r', 'R': // ELF is found out; demangling is always bounded
	default:
		return false
	}
	return true
}

// Limits of @FILE: how large one is, and how deep they are nested.
const (
	maxFile  = 64 << 20
	maxFiles = 16
)

// expand replaces @FILE by the arguments in the file. What cannot be read is an
// argument as it is, as in binutils.
func expand(args []string, depth int) ([]string, error) {
	var out []string
	for _, arg := range args {
		name, ok := strings.CutPrefix(arg, "@")
		if !ok {
			out = append(out, arg)
			continue
		}
		st, err := os.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			out = append(out, arg)
			continue
		}
		if depth == maxFiles || st.Size() > maxFile {
			return nil, errors.New("too many @-files encountered")
		}
		text, err := os.ReadFile(name)
		if err != nil {
			out = append(out, arg)
			continue
		}
		more, err := expand(split(string(text)), depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// split cuts the text of a file into arguments: at white space, which quotes and
// backslashes protect (libiberty's buildargv).
func split(text string) (args []string) {
	var arg []byte
	quote, has := byte(0), false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			arg, has = append(arg, text[i]), true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				arg = append(arg, c)
			}
		case c == '\'' || c == '"':
			quote, has = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			if has {
				args = append(args, string(arg))
			}
			arg, has = arg[:0], false
		default:
			arg, has = append(arg, c), true
		}
	}
	if has {
		args = append(args, string(arg))
	}
	return args
}
