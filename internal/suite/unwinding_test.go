//go:build linux

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// inMain are the frames of the C library below main, in the words of wantChain.
const inMain = "main libc _start"

// A row that is wrong leads to no caller: the code itself is followed then.
func TestWrongRow(t *testing.T) {
	prog := build(t, "gcc", "wrongrow.c", "-O1")
	for _, local := range []string{"zero", "code", "data"} {
		t.Run(local, func(t *testing.T) {
			p := startCmd(t, command(prog, local))
			rounds := 50
			if testing.Short() {
				rounds = 10
			}
			for range rounds {
				th := snapshot(t, p.pid).threads[0]
				if th.frames[1].name == "run" {
					th.wantChain(t, "dispatch run "+inMain) // between two calls
					continue
				}
				th.wantChain(t, "dispatch dispatch run "+inMain)
			}
		})
	}
}

// A stack that goes on in another place is followed there, whichever way that
// lies. (How many frames have __morestack between them is libgcc's matter.)
func TestSplitStack(t *testing.T) {
	prog := build(t, "gcc", "splitstack.c", "-O1", "-fsplit-stack")
	p := start(t, prog)
	for _, th := range snapshot(t, p.pid, "--max-frames", "0").threads {
		var rest []frame
		switches := 0
		for _, f := range th.frames {
			if f.name == "__morestack" {
				switches++
				continue
			}
			rest = append(rest, f)
		}
		if switches == 0 {
			t.Errorf("thread %d: the stack was not split:\n%s", th.tid, th)
		}
		th.frames = rest
		if th.tid == p.pid {
			th.wantChain(t, "libc descend*21 "+inMain)
		} else {
			th.wantChain(t, "libc descend*41 worker libc")
		}
	}
}

// javaProgram has an interpreted method call compiled ones, and those each
// other: with -XX:CompileCommand=exclude,Busy.main for the former.
const javaProgram = `
public class Busy {
    interface Step { int apply(int x); }
    static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    static int text(int n) {
        int s = 0;
        for (int i = 0; i < n; i++) s += Integer.toString(i).hashCode();
        return s;
    }
    static int fails(int n) {
        try {
            if (n % 3 == 0) throw new IllegalStateException();
            return n;
        } catch (IllegalStateException e) {
            return 1;
        }
    }
    public static void main(String[] args) {
        Step[] steps = { x -> fib(15) + x, x -> text(300) ^ x, x -> fails(x) };
        long t = 0;
        boolean said = false;
        for (long end = System.currentTimeMillis() + 1000; ; ) {
            for (Step s : steps) t += s.apply((int) t);
            if (!said && System.currentTimeMillis() > end) {
                said = true;
                System.out.println("ready 0");
            }
        }
    }
}
`

// Every stack of a Java process leads through compiled and interpreted methods
// to the thread's start.
func TestJava(t *testing.T) {
	javac := testenv.Need(t, "javac", "default-jdk-headless")
	java := testenv.Need(t, "java", "default-jdk-headless")
	dir := tempDir(t)
	source := filepath.Join(dir, "Busy.java")
	if err := os.WriteFile(source, []byte(javaProgram), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := command(javac, "-d", dir, source).CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	exclude := []string{"-XX:CompileCommand=quiet", "-XX:CompileCommand=exclude,Busy.main"}
	for name, flags := range map[string][]string{
		"frame pointers":    append([]string{"-XX:+PreserveFramePointer"}, exclude...),
		"no frame pointers": exclude,
		"all compiled":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "no frame pointers" {
				t.Skip("-short")
			}
			p := startCmd(t, command(java, append(flags, "-cp", dir, "Busy")...))
			const samples = 30
			cut := 0
			for range samples {
				r := bt(t, "--pid", itoa(p.pid), "--module")
				for _, th := range only(t, r, p.pid).threads {
					if len(th.frames) == 0 {
						cut++
						t.Logf("%s", th)
						continue
					}
					last := th.frames[len(th.frames)-1]
					if th.tid == p.pid && len(th.frames) > 1 {
						last = th.frames[len(th.frames)-2] // java itself is stripped
					}
					switch {
					case th.end != "":
						// The compiler may be changing the code just now.
						cut++
						t.Logf("%s", th)
					case last.name == "" && strings.Contains(last.extra, "libc.so"):
						// clone3, which has a name in libc's debug file only.
					case !strings.HasPrefix(last.name, "clone") && !strings.HasPrefix(last.name, "__libc_start"):
						t.Errorf("ends without a word: %s", th)
					}
				}
			}
			if cut > samples/10 {
				t.Errorf("%d of %d samples have stacks that are cut", cut, samples)
			}
		})
	}
}

// A thread's stack leads through Go and C by turns, whatever the innermost of
// them does, to where it began. Go may have moved its part meanwhile.
func TestGoAndC(t *testing.T) {
	host := build(t, "gcc", "gohost.c", "-O1")
	t.Setenv("CGO_ENABLED", "1")
	program := build(t, "go", "cgocalls.go")
	stripped := build(t, "go", "cgocalls.go", "-ldflags=-s -w", "-buildmode=pie")
	library := build(t, "go", "cgocalls.go", "-buildmode=c-shared")
	bare := build(t, "go", "cgocalls.go", "-buildmode=c-shared", "-ldflags=-s -w")
	for what, name := range []string{"wait-c", "work-c", "wait-go", "work-go", "grow", "runtime"} {
		for how, argv := range map[string][]string{
			"program":  {program, name},
			"stripped": {stripped, name},
			"library":  {host, library, itoa(what)},
			"bare":     {host, bare, itoa(what)},
			"thread":   {host, library, itoa(what), "thread"},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				if testing.Short() && how != "library" {
					t.Skip("-short")
				}
				p := startCmd(t, command(argv[0], argv[1:]...))
				rounds := 10
				if testing.Short() {
					rounds = 3
				}
				for range rounds {
					found := false
					threads := snapshot(t, p.pid).threads
					for _, th := range threads {
						found = found || byTurns(th, how)
						if th.end != "" {
							t.Errorf("end: %s\n%s", th.end, th)
						}
					}
					if !found {
						t.Errorf("no thread goes through C and Go by turns:\n%v", threads)
					}
				}
			})
		}
	}
}

// byTurns reports whether the stack has all of cgocalls.go's calls from C to Go,
// and ends where the first of them came from: in main, or in gohost.c.
func byTurns(th thread, how string) bool {
	var seen []string
	for _, f := range th.frames {
		switch name := strings.TrimSuffix(f.name, ".abi0"); name {
		case "crosscall2", "main.goOuter", "main.main", "runtime.goexit", "call_go", "_start", "clone3", "clone":
			seen = append(seen, name)
		case "runtime.systemstack_switch":
			if len(seen) > 0 {
				return false // nobody calls it
			}
		}
	}
	// Both begin with depth 2: main in Go by goOuter, and call_go in C by Enter.
	const turns = "crosscall2 main.goOuter crosscall2 main.goOuter crosscall2 "
	chain := strings.Join(seen, " ")
	switch how {
	case "library", "bare":
		return chain == turns+"call_go _start"
	case "thread": // clone3 has a name in glibc's debug file only
		return chain == turns+"call_go clone3" || chain == turns+"call_go clone" || chain == turns+"call_go"
	}
	return chain == turns+"main.goOuter main.main runtime.goexit"
}

// A coroutine's stack has an end of its own, which is said and is no failure.
func TestCoroutines(t *testing.T) {
	prog := build(t, "gcc", "coroutine.c", "-O1")
	for kind, chain := range map[string]string{
		"context":  "libc inner body",
		"assembly": "libc inner body",
		"function": "libc inner body",
		"zero":     "libc inner body",
		"switched": "libc inner body call_on " + inMain,
	} {
		t.Run(kind, func(t *testing.T) {
			p := start(t, prog, kind)
			th := snapshot(t, p.pid).threads[0]
			if made := kind != "zero" && kind != "switched"; made != strings.Contains(th.end, "a coroutine begins here") {
				t.Errorf("ends with %q", th.end)
			}
			th.end = ""
			th.wantChain(t, chain)
		})
	}
}

// A library's constructor runs in the dynamic linker, whose first instructions nothing
// describes: nobody has called them.
func TestConstructor(t *testing.T) {
	for name, flags := range map[string][]string{"64-bit": nil, "32-bit": {"-m32"}} {
		t.Run(name, func(t *testing.T) {
			lib := build(t, "gcc", "ctor.c", append([]string{"-shared", "-fPIC", "-O1"}, flags...)...)
			cmd := exec.Command(build(t, "gcc", "leaf.c", append([]string{"-O1"}, flags...)...))
			cmd.Env = append(os.Environ(), "LD_PRELOAD="+lib)
			p := startProgram(t, cmd)
			p.line(t, "ready")
			r := bt(t, "--pid", itoa(p.pid)).want(t, 0)
			if th := parse(t, r.stdout)[0].threads[0]; th.end != "" || len(th.frames) < 4 {
				t.Errorf("%s", r.stdout)
			}
		})
	}
}
