//go:build linux

package main

import (
	"debug/elf"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatedso/bt/internal/render/json/schematest"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

var update = flag.Bool("update", false, "write the expected outputs of testdata/script anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bt": main, "pstack": main})
}

// TestScript runs the scripts of testdata/script: bt's command line as its
// users see it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			data, err := filepath.Abs("../../testdata")
			e.Setenv("DATA", data)
			// What is registered on this machine must not matter.
			e.Setenv("BT_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkelf":  mkelf,
			"cc":     cc,
			"status": status,
			"schema": schema,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// mkelf writes an ELF file: mkelf FILE MACHINE BASE [id=HEX] NAME=ADDR+SIZE...
// Symbols lie at link-time addresses, in one executable section that covers
// them all.
func mkelf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: mkelf FILE MACHINE BASE [id=HEX] NAME=ADDR+SIZE...")
	}
	f := testelf.File{}
	switch args[1] {
	case "ia64":
		f.Machine = elf.EM_IA_64
	case "amd64":
		f.Machine = elf.EM_X86_64
	case "386":
		f.Machine, f.Class = elf.EM_386, elf.ELFCLASS32
	default:
		ts.Fatalf("unknown machine %s", args[1])
	}
	_, err := fmt.Sscanf(args[2], "%x", &f.Base)
	ts.Check(err)
	end := f.Base + 0x1000
	for _, arg := range args[3:] {
		name, val, _ := strings.Cut(arg, "=")
		if name == "id" {
			_, err := fmt.Sscanf(val, "%x", &f.BuildID)
			ts.Check(err)
			continue
		}
		s := testelf.Symbol{Name: name, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"}
		_, err := fmt.Sscanf(val, "%x+%x", &s.Value, &s.Size)
		ts.Check(err)
		f.Symbols = append(f.Symbols, s)
		end = max(end, s.Value+s.Size)
	}
	start := f.Base + 0x400
	f.Sections = []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: start, Data: make([]byte, end-start)}}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	ts.Check(os.WriteFile(path, f.Bytes(), 0o666))
}

// schema holds the documents of a file, such as stdout, to the schemas that they name,
// whose file names are given: schema FILE NAME.
func schema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schema FILE NAME")
	}
	text := ts.ReadFile(args[0])
	ts.Check(schematest.Check([]byte(text)))
	for line := range strings.Lines(text) {
		if strings.Contains(line, "$schema") && !strings.Contains(line, "/"+args[1]+`"`) {
			ts.Fatalf("not %s: %s", args[1], line)
		}
	}
}

// cc compiles: cc ARG...
func cc(ts *testscript.TestScript, neg bool, args []string) {
	cmd := exec.Command("gcc", args...)
	cmd.Dir = ts.MkAbs(".")
	out, err := cmd.CombinedOutput()
	if err != nil && testenv.Strict() {
		ts.Fatalf("gcc: %v\n%s", err, out)
	}
	if err != nil {
		ts.Logf("gcc: %v\n%s", err, out)
		ts.Fatalf("gcc is needed: apt-get install gcc")
	}
}

// status runs bt and checks its exit status: status N ARG...; standard input
// comes from the script's stdin, if any was set, else there is none.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status N ARG...")
	}
	err := ts.Exec("bt", args[1:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("bt %q exits with %d, want %s", args[1:], code, args[0])
	}
}
