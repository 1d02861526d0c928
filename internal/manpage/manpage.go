// Package manpage writes the manual pages of a command line made with cobra: one page
// for each command, in the man(7) macros of roff.
//
// A page says what "--help" says, in the order of man-pages(7). A paragraph of a
// command's long text that begins with "Exit status:" becomes the section EXIT STATUS; a
// command without such a paragraph has that of the nearest command above it. Files and
// environment variables are noted at the flags and commands that use them, as annotations.
package manpage

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Output is the annotation of a command that describes what it prints.
const Output = "output"

// The annotations that pages have as sections with a list. Of a flag each is a list of items, of a
// command one text with an item in each line: a name, a tab, and what it is.
const (
	Environment = "environment" // variables
	Files       = "files"
)

// Options are what all pages have in common.
type Options struct {
	Version string // of the program: "bt 1.0"
	Date    time.Time
	// SeeAlso are the pages that each page refers to beside those of the commands above
	// and below it: "gdb(1)".
	SeeAlso []string
}

// Commands are a command and all below it that are not hidden.
func Commands(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" {
			list = append(list, Commands(c)...)
		}
	}
	return list
}

// Name is the name of a command's page: "bt-crash-install".
func Name(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is a page that is being written.
type page struct {
	strings.Builder
	cmd   *cobra.Command
	fresh bool // nothing stands below the section's title
}

// Write writes the page of one command.
func Write(w io.Writer, cmd *cobra.Command, o Options) error {
	if !ownOptions(cmd) {
		cmd.InitDefaultHelpFlag()
	}
	p := page{cmd: cmd}
	fmt.Fprintf(&p, ".TH %s 1 %s %s %s\n", quote(strings.ToUpper(Name(cmd))), quote(o.Date.UTC().Format(time.DateOnly)),
		quote(o.Version), quote(cmd.Root().Name()+" manual"))
	// Words are not hyphenated, nor lines spread to the margin: names are searched for.
	// Each paragraph sets hyphenation anew, to the register HY (groff's an.tmac).
	p.WriteString(".nr HY 0\n.nh\n.ad l\n")
	p.section("NAME")
	fmt.Fprintf(&p, "%s \\- %s\n", escape(Name(cmd)), escape(lowerFirst(cmd.Short)))
	p.synopsis()
	description, _ := exitStatus(cmd)
	p.section("DESCRIPTION")
	if description == "" {
		description = strings.TrimSuffix(cmd.Short, ".") + "."
	}
	p.text(description)
	p.commands()
	p.options()
	if text := cmd.Annotations[Output]; text != "" {
		p.section("OUTPUT")
		p.text(text)
	}
	p.exitStatus()
	p.notes("ENVIRONMENT", Environment)
	p.notes("FILES", Files)
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.examples(cmd.Example)
	}
	p.seeAlso(o.SeeAlso)
	_, err := io.WriteString(w, p.String())
	return err
}

func (p *page) section(name string) {
	fmt.Fprintf(p, ".SH %s\n", name)
	p.fresh = true
}

// paragraph begins a paragraph. A section begins with one by itself.
func (p *page) paragraph() {
	if !p.fresh {
		p.WriteString(".PP\n")
	}
	p.fresh = false
}

// synopsis is how the command is called. Its words are bold, what stands for something
// else is not.
func (p *page) synopsis() {
	p.section("SYNOPSIS")
	line := func(path, rest string) {
		fmt.Fprintf(p, ".B %s\n", quote(escape(path)))
		if rest != "" {
			fmt.Fprintf(p, "%s\n", start(escape(rest)))
		}
	}
	path := p.cmd.CommandPath()
	if p.cmd.Runnable() {
		// The last word of Use's path is the command's own name.
		line(path, strings.TrimPrefix(p.cmd.UseLine(), path+" "))
	}
	if p.cmd.HasAvailableSubCommands() {
		if p.cmd.Runnable() {
			p.WriteString(".br\n")
		}
		line(path, "COMMAND [flags] ...")
	}
}

// blank separates paragraphs.
var blank = regexp.MustCompile(`\n\s*\n`)

const exitMark = "Exit status:"

// exitStatus splits a command's long text into what is not about the exit status, and
// what is.
func exitStatus(cmd *cobra.Command) (description, status string) {
	var rest []string
	for _, para := range blank.Split(strings.TrimRight(cmd.Long, "\n"), -1) {
		if text, ok := strings.CutPrefix(para, exitMark); ok {
			status = strings.TrimSpace(text)
			continue
		}
		rest = append(rest, para)
	}
	return strings.Join(rest, "\n\n"), status
}

// exitStatus is the section of that name, an item for each status where the text is a
// list of them.
func (p *page) exitStatus() {
	status := ""
	for c := p.cmd; c != nil && status == ""; c = c.Parent() {
		_, status = exitStatus(c)
	}
	if status == "" {
		return
	}
	p.section("EXIT STATUS")
	text := strings.TrimSuffix(strings.Join(strings.Fields(status), " "), ".")
	items := statuses.FindAllStringIndex(text, -1)
	first := len(text)
	if len(items) > 0 {
		first = items[0][0]
	}
	if head := strings.TrimRight(text[:first], " ;,"); head != "" {
		p.text(head + ".")
	}
	for i, at := range items {
		end := len(text)
		if i+1 < len(items) {
			end = items[i+1][0]
		}
		number := strings.Trim(text[at[0]:at[1]], " ,;")
		p.item(bold(number), strings.TrimRight(text[at[1]:end], " ,;"))
	}
}

// statuses matches the number of an exit status where a list of them has it.
var statuses = regexp.MustCompile(`(?:^|[,;] )\d+ `)

// commands lists the commands below this one.
func (p *page) commands() {
	first := true
	for _, c := range p.cmd.Commands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		if first {
			p.section("COMMANDS")
			first = false
		}
		p.item(reference(c), c.Short)
	}
}

// ownOptions reports whether a command reads its options itself: its long text tells them.
func ownOptions(cmd *cobra.Command) bool {
	return cmd.DisableFlagParsing && !cmd.LocalFlags().HasFlags()
}

func (p *page) options() {
	if ownOptions(p.cmd) {
		return
	}
	p.section("OPTIONS")
	p.cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		tag := bold("--" + f.Name)
		if f.Shorthand != "" {
			tag = bold("-"+f.Shorthand) + ", " + tag
		}
		switch {
		case f.NoOptDefVal != "" && value != "":
			tag += "[=" + italic(value) + "]"
		case value != "":
			tag += " " + italic(value)
		}
		if d := f.DefValue; d != "" && d != "0" && d != "false" && d != "[]" && d != "0s" {
			usage += " (default: " + strings.Trim(d, "[]") + ")"
		}
		p.item(tag, usage)
	})
}

// notes are a section of what was noted at the command and its flags.
func (p *page) notes(title, section string) {
	list := strings.Split(strings.TrimSuffix(p.cmd.Annotations[section], "\n"), "\n")
	p.cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { list = append(list, f.Annotations[section]...) })
	first := true
	for i, note := range list {
		item, text, ok := strings.Cut(note, "\t")
		if !ok || slices.Contains(list[:i], note) {
			continue
		}
		if first {
			p.section(title)
			first = false
		}
		tag := bold(item)
		if section == Files {
			tag = italic(item)
		}
		p.item(tag, text)
	}
}

// examples are lines of commands, which stay as they are, and comments above them.
func (p *page) examples(text string) {
	inside := false
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		line = strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ")
		comment, isComment := strings.CutPrefix(line, "# ")
		if inside && (isComment || line == "") {
			p.WriteString(".EE\n.RE\n")
			inside = false
		}
		switch {
		case isComment:
			p.paragraph()
			p.WriteString(start(escape(comment)) + "\n")
		case line != "":
			if !inside {
				p.paragraph()
				p.WriteString(".RS\n.EX\n")
				inside = true
			}
			p.WriteString(start(escape(line)) + "\n")
		}
	}
	if inside {
		p.WriteString(".EE\n.RE\n")
	}
}

// seeAlso refers to the commands above, beside and below, and to others.
func (p *page) seeAlso(others []string) {
	var refs []string
	if parent := p.cmd.Parent(); parent != nil {
		for _, c := range Commands(parent) {
			if c != p.cmd && (c == parent || c.Parent() == parent && parent.HasParent()) {
				refs = append(refs, reference(c))
			}
		}
		if parent.HasParent() {
			refs = append([]string{reference(p.cmd.Root())}, refs...)
		}
	}
	for _, c := range Commands(p.cmd)[1:] {
		if c.Parent() == p.cmd {
			refs = append(refs, reference(c))
		}
	}
	for _, other := range others {
		name, section, _ := strings.Cut(other, "(")
		refs = append(refs, bold(name)+"("+section)
	}
	if len(refs) == 0 {
		return
	}
	p.section("SEE ALSO")
	p.WriteString(strings.Join(refs, ",\n") + "\n")
}

func reference(cmd *cobra.Command) string { return bold(Name(cmd)) + "(1)" }

// item is a tagged paragraph.
func (p *page) item(tag, text string) {
	fmt.Fprintf(p, ".TP\n%s\n%s\n", tag, start(flags(text)))
}

// text is paragraphs; those with indented lines stay as they are.
func (p *page) text(s string) {
	for _, para := range blank.Split(strings.Trim(s, "\n"), -1) {
		p.paragraph()
		lines := strings.Split(para, "\n")
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") }) {
			p.WriteString(start(flags(strings.Join(lines, " "))) + "\n")
			continue
		}
		p.WriteString(".EX\n")
		for _, l := range lines {
			p.WriteString(start(escape(l)) + "\n")
		}
		p.WriteString(".EE\n")
	}
}

// flagWord matches a flag in a text.
var flagWord = regexp.MustCompile(`(^|[\s(])(--?[a-z][a-z-]*)`)

// flags escapes a text, and makes the flags in it bold.
func flags(text string) string {
	var b strings.Builder
	at := 0
	for _, m := range flagWord.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(escape(text[at:m[4]]) + bold(text[m[4]:m[5]]))
		at = m[5]
	}
	return b.String() + escape(text[at:])
}

func bold(s string) string   { return `\fB` + escape(s) + `\fR` }
func italic(s string) string { return `\fI` + escape(s) + `\fR` }

// special are the characters that roff would print as others, or take for its own
// (groff_char(7)).
var special = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

func escape(s string) string { return special.Replace(s) }

// start keeps a line's first character from making it a request.
func start(s string) string {
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}

// quote makes a macro's argument.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\(dq`) + `"` }

// lowerFirst makes a sentence the second half of a line that begins with a name. A name
// of its own stays: "GNU …".
func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
