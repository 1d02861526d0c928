package stack_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/gatedso/bt/stack"
)

// A model comes back from JSON as it was.
func TestJSON(t *testing.T) {
	addr := uint64(0x10)
	lib := &stack.Module{Path: "/usr/lib/libc.so.6", BuildID: "0123ab", Via: "map_files"}
	p := stack.Process{
		PID: 7, Name: "./prog", WordSize: 8,
		Death: &stack.Death{Signal: "SIGSEGV", Text: "killed by SIGSEGV", Addr: &addr,
			Instruction: &stack.Instruction{Addr: 0x1000, Text: "ret"}, Code: []byte{0xc3}, CodeAddr: 0x1000,
			Registers: []stack.Register{{Name: "rax", Value: 1}}, WordSize: 8},
		Notes: []stack.Note{{Kind: "deadlock", Text: "deadlock: 7 waits for 8"}},
		Threads: []stack.Thread{{
			TID: 7, Name: "prog", WordSize: 4, NotStopped: "in vfork",
			Notes: []stack.Note{{Kind: "waits", Text: "waits in read of fd 3"}},
			Frames: []stack.Frame{
				{PC: 0x1000, SP: 0x7000, Exact: true, Found: stack.ByRegisters, Module: lib, ModuleOffset: 0x20,
					Signal: &stack.Signal{Number: 10, Name: "SIGUSR1"}, Names: []stack.Name{
						{Symbol: "inner", File: "a.c", Line: 3, Column: 4, Inlined: true},
						{Symbol: "outer", Version: "@@V1", Offset: 2, File: "a.c", Line: 9, Language: "python", Source: ".symtab"},
					}},
				{PC: 0x2000, Found: stack.ByCFI, Miss: stack.Anonymous},
			},
			End: stack.End{Reason: stack.NoInfo, Addr: 0x2000, Text: "no unwind information for (anon)"},
		}},
	}
	text, err := json.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	var got stack.Process
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("%s\ncomes back as %+v", text, got)
	}
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		t    stack.Thread
		want bool
	}{
		{stack.Thread{End: stack.End{Reason: stack.Outermost}}, true},
		{stack.Thread{End: stack.End{Reason: stack.Outermost}, NotStopped: "in vfork"}, false},
		{stack.Thread{End: stack.End{Reason: stack.MaxFrames}}, false},
		{stack.Thread{}, false},
	} {
		if got := tt.t.Complete(); got != tt.want {
			t.Errorf("%+v: %v", tt.t, got)
		}
	}
}

func TestProcessComplete(t *testing.T) {
	whole := stack.Thread{End: stack.End{Reason: stack.Outermost}}
	told := whole
	told.Notes = []stack.Note{{Kind: "python", Text: "python: cut", Missing: true}}
	for _, tt := range []struct {
		p    stack.Process
		want bool
	}{
		{stack.Process{Threads: []stack.Thread{whole}}, true},
		{stack.Process{Notes: []stack.Note{{Kind: "python", Text: "python: garbage is being collected"}}}, true},
		{stack.Process{Notes: []stack.Note{{Kind: "python", Text: "python: unknown", Missing: true}}}, false},
		{stack.Process{Threads: []stack.Thread{whole, told}}, false},
		{stack.Process{Goroutines: []stack.Task{{End: whole.End}}}, true},
		{stack.Process{Goroutines: []stack.Task{{}}}, false},
	} {
		if got := tt.p.Complete(); got != tt.want {
			t.Errorf("%+v: %v", tt.p, got)
		}
	}
}

func TestFunction(t *testing.T) {
	f := stack.Frame{}
	if f.Function() != nil {
		t.Error("a frame without names has a function")
	}
	f.Names = []stack.Name{{Symbol: "inlined", Inlined: true}, {Symbol: "main"}}
	if n := f.Function(); n == nil || n.Symbol != "main" {
		t.Errorf("%+v", n)
	}
}

func ExampleMiss_Text() {
	f := stack.Frame{PC: 0x7f0000001000, Miss: stack.Anonymous}
	fmt.Printf("%x has no name: %s\n", f.PC, f.Miss.Text())
	// Output: 7f0000001000 has no name: anonymous memory
}
