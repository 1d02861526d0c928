package json_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	stdjson "encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/json"
	"github.com/gatedso/bt/internal/render/json/schematest"
	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

func document(t *testing.T, o render.Options, head *render.Head, processes ...*stack.Process) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &json.Writer{W: w, Options: o}
	for _, p := range processes {
		if head != nil {
			f.Maps(head)
		}
		render.Process(f, p, render.Sample{Time: time.Unix(1e9, 5), Count: 3})
	}
	f.Close()
	w.Flush()
	if err := schematest.Check(out.Bytes()); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("%d line ends", n)
	}
	return out.String()
}

// Every field of the model is in the document.
func TestEveryFact(t *testing.T) {
	p := rendertest.Filled()
	doc := document(t, render.Options{}, nil, p)
	var look func(v reflect.Value, path string)
	look = func(v reflect.Value, path string) {
		var want string
		switch v.Kind() {
		case reflect.String:
			want = `"` + v.String() + `"`
		case reflect.Int, reflect.Int64:
			want = fmt.Sprint(v.Int())
		case reflect.Uint64:
			if want = fmt.Sprintf(`"0x%x"`, v.Uint()); strings.HasSuffix(path, ".Offset") {
				want = fmt.Sprint(v.Uint())
			}
			if strings.Contains(path, "Names") {
				want = "" // an inlined call has no offset
			}
		case reflect.Pointer:
			look(v.Elem(), path)
		case reflect.Slice:
			if b, ok := v.Interface().([]byte); ok {
				want = hex.EncodeToString(b)
				break
			}
			for i := range v.Len() {
				look(v.Index(i), path)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				look(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
		if !strings.Contains(doc, want) {
			t.Errorf("%s: %s is not in the document", path, want)
		}
	}
	look(reflect.ValueOf(p).Elem(), "Process")
}

// What a target chooses is escaped as text has it, and comes back.
func TestHostile(t *testing.T) {
	p := rendertest.Server()
	text := document(t, render.Options{}, &render.Head{
		Maps:     []maps.Mapping{{Start: 0x1000, End: 0x2000, Perm: maps.Read, Path: rendertest.Hostile}},
		BuildIDs: []render.BuildID{{ID: "ab", Path: rendertest.Hostile}},
	}, p, p)
	if !utf8.ValidString(text) {
		t.Error("the document is not UTF-8")
	}
	var doc struct {
		Processes []struct {
			Mappings []struct {
				Path    string
				BuildID string `json:"build_id"`
			}
			Threads []struct {
				Name   string
				Frames []struct {
					PC     string
					Module string
					Names  []struct{ Symbol string }
				}
			}
			Complete bool
		}
	}
	if err := stdjson.Unmarshal([]byte(text), &doc); err != nil || len(doc.Processes) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	q := doc.Processes[1]
	last := q.Threads[3]
	want := escape.Name(rendertest.Hostile)
	if last.Name != want || last.Frames[0].Names[0].Symbol != want || last.Frames[0].Module != escape.Name("/tmp/"+rendertest.Hostile) || last.Frames[0].PC != "0x7f0000003000" {
		t.Errorf("%+v", last)
	}
	if q.Mappings[0].Path != want || q.Mappings[0].BuildID != "ab" {
		t.Errorf("%+v", q.Mappings)
	}
	if q.Complete {
		t.Error("a stack is cut, but the process is complete")
	}
}

func TestOptions(t *testing.T) {
	p := rendertest.Server()
	p.Threads[0].Waits = nil
	for _, tt := range []struct {
		name     string
		o        render.Options
		has, not string
	}{
		{"group", render.Options{Group: true}, `"others":[{"tid":1236,"name":"worker"}]`, `{"tid":1236,"name":"worker","frames"`},
		{"brief", render.Options{Brief: true}, `"handle"`, `"nothing"`},
		{"raw", render.Options{Raw: true}, `"pc":"0x401020"`, `"names"`},
		{"basenames", render.Options{Basenames: true}, `"file":"list.c"`, `/src/list.c`},
	} {
		text := document(t, tt.o, nil, p)
		if !strings.Contains(text, tt.has) || strings.Contains(text, tt.not) {
			t.Errorf("%s: %s", tt.name, text)
		}
	}
}

func TestAddresses(t *testing.T) {
	frames := rendertest.Server().Threads[3].Frames
	out, n := json.Addresses(nil, frames, &render.Options{}, math.MaxInt)
	if n != 3 || bytes.Count(out, []byte("\n")) != 3 {
		t.Errorf("%d addresses: %s", n, out)
	}
	if err := schematest.Check(out); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if _, n := json.Addresses(nil, frames, &render.Options{}, 1); n != 1 {
		t.Errorf("%d addresses for a limit of one byte", n)
	}
	p := rendertest.Filled()
	out, _ = json.Addresses(nil, p.Threads[0].Frames, &render.Options{}, math.MaxInt)
	if err := schematest.Check(out); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A line costs no allocation.
func TestAllocs(t *testing.T) {
	f := rendertest.Server().Threads[0].Frames
	buf, o := make([]byte, 0, 1<<16), new(render.Options)
	if n := testing.AllocsPerRun(100, func() { buf, _ = json.Addresses(buf[:0], f, o, math.MaxInt) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
