// Package rendertest holds processes for the tests of the formats.
package rendertest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// Filled is a process of which every field is set, each to another value. Fields that
// are added to the model are set, too.
func Filled() *stack.Process {
	p := new(stack.Process)
	n := 1000
	fill(reflect.ValueOf(p).Elem(), "", &n)
	return p
}

func fill(v reflect.Value, name string, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		if name == "BuildID" {
			v.SetString(fmt.Sprintf("%x", *n))
			break
		}
		v.SetString(fmt.Sprintf("%s-%d", name, *n))
	case reflect.Bool:
		v.SetBool(name != "Plain")
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n) << 32)
	case reflect.Uint8:
		v.SetUint(uint64(*n & 0xff))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name, n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), name, n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, n)
		}
	}
}

// Hostile is text that a target can choose, and that no format may take for its own.
const Hostile = "a;b\n\x1b[31m\xff\u202e\"</script><img src=x onerror=alert(1)>'&(9) 12 \\"

// Golden compares what a format makes of Server with the file testdata/server.golden
// of the test's package, or writes that with update.
func Golden(t *testing.T, update bool, make func(w *bufio.Writer) render.Format) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := make(w)
	render.Process(f, Server(), render.Sample{Time: time.Unix(1e9, 0)})
	f.Close()
	w.Flush()
	const file = "testdata/server.golden"
	if update {
		os.Mkdir("testdata", 0o777)
		if err := os.WriteFile(file, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), out.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	return out.String()
}

// Outermost is the end of a stack from which nothing is missing.
var Outermost = stack.End{Reason: stack.Outermost}

// Server is a process with threads that run native code, inlined calls and Python,
// with a goroutine, and with names that a hostile program could choose.
func Server() *stack.Process {
	libc := &stack.Module{Path: "/usr/lib/libc.so.6", BuildID: "c0ffee", Via: "map_files"}
	exe := &stack.Module{Path: "/srv/server", BuildID: "beef", Via: "map_files"}
	evil := &stack.Module{Path: "/tmp/" + Hostile, Via: "memory", Error: "gone"}
	native := func(pc uint64, m *stack.Module, symbol string, offset uint64) stack.Frame {
		f := stack.Frame{PC: pc, Module: m, ModuleOffset: pc & 0xffff, Found: stack.ByCFI}
		if f.Names = []stack.Name{{Symbol: symbol, Offset: offset, Source: ".symtab"}}; symbol == "" {
			f.Names, f.Miss = nil, stack.NoSymbol
		}
		return f
	}
	poll := native(0x7f0000001010, libc, "poll", 0x10)
	poll.Exact, poll.Found = true, stack.ByRegisters
	inlined := native(0x401020, exe, "main", 0x20)
	inlined.Names = []stack.Name{
		{Symbol: "sum", File: "/src/list.c", Line: 4, Column: 9, Inlined: true},
		{Symbol: "main", Offset: 0x20, File: "/src/list.c", Line: 9, Source: ".symtab"},
	}
	start := native(0x401000, exe, "_start", 0x5)
	eval := native(0x402000, exe, "_PyEval_EvalFrameDefault", 0x30)
	eval.Names = append([]stack.Name{{Symbol: "handle", File: "/srv/app.py", Line: 7, Language: "python"}}, eval.Names...)
	eval.Runtime = true
	trampoline := native(0x7f0000002000, libc, "__restore_rt", 0)
	trampoline.Signal = &stack.Signal{Number: 10, Name: "SIGUSR1"}
	park := native(0x403000, exe, "runtime.gopark", 0xce)
	return &stack.Process{
		PID: 1234, Name: "/srv/server", WordSize: 8,
		Threads: []stack.Thread{
			{TID: 1234, Name: "server", Waits: &stack.Wait{Call: "poll", Text: "poll of fd 3"}, Frames: []stack.Frame{poll, inlined, start}, End: Outermost},
			{TID: 1235, Name: "worker", Runtimes: []stack.RuntimeThread{{Language: "python", Name: "Thread-1", Facts: []string{"holds the GIL"}}},
				Kernel: []stack.KernelFrame{{Symbol: "do_poll", Offset: 0x6e}}, Frames: []stack.Frame{poll, trampoline, eval}, End: stack.End{Reason: stack.NoMemory, Text: "the stack cannot be read"}},
			{TID: 1236, Name: "worker", Frames: []stack.Frame{poll, inlined, start}, End: Outermost},
			{TID: 1237, Name: Hostile, Frames: []stack.Frame{native(0x7f0000003000, evil, Hostile, 1), native(0x7f0000003010, evil, "", 0), {PC: 0x10, Miss: stack.Unmapped}}, End: Outermost},
		},
		Goroutines: []stack.Task{
			{ID: 18, State: "chan receive", CreatedBy: "main.serve", Creator: 1, Frames: []stack.Frame{park}, End: Outermost},
			{ID: 2, State: "force gc (idle)", System: true, Frames: []stack.Frame{park}, End: Outermost},
		},
		Deadlocks: []stack.Deadlock{{Text: "1234 waits for 1235", Edges: []stack.WaitEdge{{Waiter: stack.Party{TID: 1234}, Holder: stack.Party{TID: 1235}, Kind: "mutex"}}}},
	}
}
