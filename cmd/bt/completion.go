//go:build linux

package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/complete"
	"github.com/gatedso/bt/internal/gate/store"
)

const completionLong = `Prints a script that makes a shell complete bt's command line: commands, flags, and
the values of flags, such as the processes with their names. Packages of bt have it
installed already.

  bash   needs the package bash-completion. For the session:
         . <(bt completion bash)
         for good: bt completion bash > /usr/share/bash-completion/completions/bt
  zsh    needs "autoload -U compinit; compinit" in ~/.zshrc. For good:
         bt completion zsh > "${fpath[1]}/_bt"
  fish   bt completion fish > ~/.config/fish/completions/bt.fish`

// completionScripts write the scripts of the shells.
var completionScripts = map[string]func(root *cobra.Command, w io.Writer, descriptions bool) error{
	"bash": bashScript,
	"zsh": func(root *cobra.Command, w io.Writer, descriptions bool) error {
		if descriptions {
			return root.GenZshCompletion(w)
		}
		return root.GenZshCompletionNoDesc(w)
	},
	"fish": (*cobra.Command).GenFishCompletion,
	"powershell": func(root *cobra.Command, w io.Writer, descriptions bool) error {
		if descriptions {
			return root.GenPowerShellCompletionWithDesc(w)
		}
		return root.GenPowerShellCompletion(w)
	},
}

// bashScript writes the script of bash. Cobra's takes a comma for a character that must be
// escaped, and then finds that what it escaped is not what was typed.
func bashScript(root *cobra.Command, w io.Writer, descriptions bool) error {
	var script strings.Builder
	if err := root.GenBashCompletionV2(&script, descriptions); err != nil {
		return err
	}
	_, err := strings.NewReplacer(
		`[[ $comp == "$cur"* ]] || continue`,
		`[[ ${comp//\\,/,} == "$cur"* ]] || continue`,
		`COMPREPLY[0]=$(printf "%q" "${COMPREPLY[0]%%$tab*}")`,
		`COMPREPLY[0]=$(printf "%q" "${COMPREPLY[0]%%$tab*}"); COMPREPLY[0]=${COMPREPLY[0]//\\,/,}`,
	).WriteString(w, script.String())
	return err
}

// shells are those of completionScripts.
var shells = []string{"bash", "fish", "powershell", "zsh"}

func newCompletionCommand(*app) *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use:                   "completion [--no-descriptions] " + strings.Join(shells, "|"),
		Short:                 "Print a script that makes a shell complete bt's command line",
		Long:                  completionLong,
		DisableFlagsInUseLine: true,
		ValidArgs:             shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || completionScripts[args[0]] == nil {
				return usagef("%s needs one of %s", cmd.CommandPath(), orList(shells))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return completionScripts[args[0]](cmd.Root(), cmd.OutOrStdout(), !bare)
		},
	}
	cmd.Flags().BoolVar(&bare, "no-descriptions", false, "leave out what is said of each completion")
	return cmd
}

// completing says whether the shell asks for completions, rather than a user for what bt
// does.
func completing(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// addCompletions says what the values of flags are, and the arguments, of a command and
// those below it. Where nothing is said, shells complete the names of files.
func addCompletions(cmd *cobra.Command) {
	none := cobra.NoFileCompletions
	for name, f := range map[string]cobra.CompletionFunc{
		"pid": completePIDs, "tid": completeTIDs, "gate-dso": completeGate,
		"debug-dir": completeDirs, "sysroot": completeDirs, "procfs": completeDirs, "state-dir": completeDirs, "dir": completeDirs,
		"max-frames": none, "max-pause": none, "context": none, "debuginfod": none,
		"max-reports": none, "max-bytes": none, "timeout": none, "handlers": none,
		"duration": none, "hz": none,
	} {
		if cmd.Flags().Lookup(name) != nil {
			cmd.RegisterFlagCompletionFunc(name, f) // fails where the command has its own
		}
	}
	switch {
	case cmd.ValidArgsFunction != nil || len(cmd.ValidArgs) > 0 || cmd.DisableFlagParsing:
	case strings.Contains(cmd.Use, "CMD"):
		cmd.ValidArgsFunction = completeCommand
	case !strings.Contains(cmd.Use, "[FILE"):
		cmd.ValidArgsFunction = none
	}
	for _, c := range cmd.Commands() {
		addCompletions(c)
	}
}

// completeDirs completes the names of directories.
func completeDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeGate completes the word that --gate-dso takes, beside files.
func completeGate(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	const about = "\tthe image in the process"
	if word != "" && strings.HasPrefix("live", word) {
		return []string{"live" + about}, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func completePIDs(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return completeList(word, complete.Processes(procfsOf(cmd), os.Geteuid()))
}

// completeTIDs completes the threads of the processes that --pid names.
func completeTIDs(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	var items []complete.Item
	var pids []string
	if f := cmd.Flags().Lookup("pid"); f != nil {
		pids = strings.Split(f.Value.String(), ",")
	}
	slices.Sort(pids)
	for _, text := range slices.Compact(pids) { // cobra reads the line twice
		if pid, err := strconv.Atoi(text); err == nil {
			items = append(items, complete.Threads(procfsOf(cmd), pid)...)
		}
	}
	return completeList(word, items)
}

// procfsOf is where procfs is mounted, as the command line says.
func procfsOf(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup("procfs"); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	return "/proc"
}

// completeList completes the last word of a comma list by those items that are not in
// it.
func completeList(word string, items []complete.Item) ([]string, cobra.ShellCompDirective) {
	before := word[:strings.LastIndexByte(word, ',')+1]
	given := strings.Split(before, ",")
	var out []string
	for _, i := range items {
		if !slices.Contains(given, i.Word) && strings.HasPrefix(before+i.Word, word) {
			out = append(out, before+i.Word+"\t"+i.About)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeCommand completes the command that bt runs, and the files that are its
// arguments.
func completeCommand(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || word == "" || strings.Contains(word, string(filepath.Separator)) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var out []string
	for _, i := range complete.Commands(os.Getenv("PATH"), word) {
		out = append(out, i.Word)
	}
	return out, cobra.ShellCompDirectiveDefault
}

// completeReports completes the numbers of crash reports.
func (a *crashCommand) completeReports(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	d, err := a.crashDir()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer d.Close()
	reports, _ := d.Reports()
	for i := range reports {
		e := newCrashEntry(i+1, &reports[i])
		out = append(out, strconv.Itoa(e.Number)+"\t"+e.Name+" "+e.Signal+" "+e.Time)
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// completeImages completes the build IDs of the registered gate images.
func (a *gateUnregister) completeImages(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, err := store.Open(a.stateDirs()[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	list, _ := s.List()
	var out []string
	for _, e := range list {
		out = append(out, e.BuildID+"\t"+filepath.Base(e.Path))
	}
	return out, cobra.ShellCompDirectiveDefault
}
