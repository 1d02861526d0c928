//go:build unix

package symbolize

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/testenv"
)

// difference is a way in which a demangled name differs from llvm-cxxfilt's.
type difference struct {
	name string
	why  string
	is   func(raw, bt, llvm string) bool
	// most is how many of 10,000 names may have it.
	most int
}

var (
	gnuLambda  = regexp.MustCompile(`\{lambda|#[0-9]+\}|\{unnamed type#[0-9]+\}`)
	llvmLambda = regexp.MustCompile(`'(lambda|unnamed)[0-9]*'`)
	// An unresolved name that begins with an unqualified one, in an expression.
	oldName = regexp.MustCompile(`X(nt)?sr[0-9]`)
)

// known are the differences that there are, in libraries of LLVM.
var known = []difference{
	{"lambda", "style: {lambda(int)#1} as c++filt and gdb have it, llvm-cxxfilt has 'lambda'(int)", func(raw, bt, llvm string) bool {
		return gnuLambda.ReplaceAllString(bt, "") == llvmLambda.ReplaceAllString(llvm, "")
	}, 60},
	{"decltype", `style: "decltype (x)" as c++filt has it, llvm-cxxfilt has "decltype(x)"`, func(raw, bt, llvm string) bool {
		return strings.ReplaceAll(bt, "decltype (", "decltype(") == llvm
	}, 15},
	{"operator", `style: "operator<< <int>" as c++filt has it, llvm-cxxfilt has "operator<<<int>"`, func(raw, bt, llvm string) bool {
		return strings.ReplaceAll(bt, "< <", "<<") == llvm
	}, 5},
	{"nullptr", "style: decltype(nullptr) as c++filt has it, llvm-cxxfilt has std::nullptr_t", func(raw, bt, llvm string) bool {
		return strings.ReplaceAll(bt, "decltype(nullptr)", "std::nullptr_t") == llvm
	}, 5},
	{"const const", "llvm-cxxfilt repeats a qualifier that a template argument brought", func(raw, bt, llvm string) bool {
		return bt == strings.ReplaceAll(llvm, "const const", "const")
	}, 5},
	{"not demangled", "llvm-cxxfilt gives up on some conversion operators", func(raw, bt, llvm string) bool {
		return llvm == raw && strings.Contains(raw, "cv")
	}, 5},
	// In a lambda's name or a static variable's, that of a function template.
	{"local", "llvm-cxxfilt prints the enclosing function's return type, and may take its template's arguments for another's", func(raw, bt, llvm string) bool {
		return (strings.HasPrefix(raw, "_ZZ") || strings.Contains(raw, "IZN")) && strings.Contains(llvm, "void ")
	}, 10},
	// bt is wrong here: gcc's old mangling of has_traits<T>::value does not count
	// has_traits as a name that can be referred back to, the demangler does. The
	// parameters, or the arguments, are wrong behind it; the function is right.
	{"old unresolved name", "the demangler counts a back-reference too many", func(raw, bt, llvm string) bool {
		return oldName.MatchString(raw) && strings.Contains(bt, "(")
	}, 80},
}

// TestLLVMNames demangles the C++ names of libLLVM and compares them with
// llvm-cxxfilt's. It fails when a difference is not one of the known ones, or when
// there are more of these than there were.
func TestLLVMNames(t *testing.T) {
	cxxfilt := testenv.Need(t, "llvm-cxxfilt", "llvm")
	paths, _ := filepath.Glob("/usr/lib/*-linux-gnu/libLLVM-1*.so.1")
	if len(paths) == 0 {
		testenv.Skip(t, "no libLLVM: apt-get install llvm")
	}
	im, err := elfsym.OpenPath(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	var names []string
	seen := make(map[string]bool)
	for ref := range elfsym.Ref(im.NumSymbols()) {
		if s, ok := im.Symbol(ref); ok && s.Value != 0 && strings.HasPrefix(s.Name, "_Z") && !seen[s.Name] {
			names, seen[s.Name] = append(names, s.Name), true
		}
	}
	cmd := exec.Command(cxxfilt)
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(bytes.TrimRight(out, "\n")), "\n")
	if len(lines) != len(names) {
		t.Fatalf("%d answers to %d names", len(lines), len(names))
	}
	count, same, unknown, example := make([]int, len(known)), 0, 0, make([]string, len(known))
next:
	for i, raw := range names {
		bt := (&demangler{mode: Full}).name(raw)
		if bt == lines[i] {
			same++
			continue
		}
		for k := range known {
			if known[k].is(raw, bt, lines[i]) {
				count[k]++
				example[k] = raw
				continue next
			}
		}
		if unknown++; unknown < 10 {
			t.Errorf("%s\n bt:   %s\n llvm: %s", raw, bt, lines[i])
		}
	}
	t.Logf("%s: %d names, %d the same, %d differences of no known kind", paths[0], len(names), same, unknown)
	for k, d := range known {
		t.Logf("%5d %s: %s, such as %s", count[k], d.name, d.why, example[k])
		if count[k]*10_000 > d.most*len(names) {
			t.Errorf("%s: %d of %d, more than %d of 10,000", d.name, count[k], len(names), d.most)
		}
	}
}

// TestRustUnnamed lists Rust names that the demangler does not know: they are shown
// as they are. Where that has changed the name leaves the list.
func TestRustUnnamed(t *testing.T) {
	for _, raw := range []string{
		// The empty identifier of a closure, 0, and a digit behind it, which is the
		// next one's length: the demangler takes both for one number. 0.5% of the
		// names in librustc_driver, mostly of static variables within closures.
		"_RNvNCNvC1a1b0023___RUST_STD_INTERNAL_VAL",
		"_RNvNvNCNvC1a1bs1_010___CALLSITE4META",
		// Constants of 128 bits that need all of them.
		"_RINvC1a1bKnn80000000000000000000000000000000_E",
	} {
		for _, d := range []Demangle{Full, Short} {
			if got := (&demangler{mode: d}).name(raw); got != raw {
				t.Errorf("%s: %s", raw, got)
			}
		}
	}
	// The same without what is behind it, and a smaller constant.
	for raw, want := range map[string]string{
		"_RNCNvC1a1b0":      "a::b::{closure#0}",
		"_RINvC1a1bKnn80_E": "a::b::<-128>",
	} {
		if got := (&demangler{mode: Full}).name(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}
