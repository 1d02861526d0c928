package mangled_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/names/mangled"
	"github.com/gatedso/bt/internal/testenv"
)

const hash = "17h0123456789abcdefE"

func TestRust(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"_ZN4core3fmt5write" + hash, "core::fmt::write"},
		{"_ZN3std3sys9backtrace28__rust_begin_short_backtrace" + hash, "std::sys::backtrace::__rust_begin_short_backtrace"},
		{"_ZN4demo8_private" + hash, "demo::_private"},
		{"_ZN4demo3___" + hash, "demo::___"},
		{"_ZN4demo1_" + hash, "demo::_"},
		{"_ZN4demo8_privateX" + hash, ""},
		{"_ZN35_$LT$demo..T$u20$as$u20$demo..Q$GT$4_run" + hash, "<demo::T as demo::Q>::_run"},
		{"_ZN5__$u1" + hash, "__$u1"},
		{"_ZN7__$LT$x" + hash, "__<x"},
		{"_ZN3a.b" + hash, "a.b"},
		{"_ZN4a..b" + hash, "a::b"},
		{"_ZN3a$C" + hash, "a$C"},
		{"_ZN6a$C$$b" + hash, "a,$b"},
		{"_ZN10caf$ue9$::" + hash, "café::"},
		{"_ZN8$u7f$$uE" + hash, "$u7f$$uE"},
		{"_ZN9$u110000$" + hash, "$u110000$"},
		{"_ZN8$ud800$x" + hash, "$ud800$x"},
		{"_ZN3aé" + hash, "aé"},
		{"_ZN3a\xff\xff" + hash, ""},
		{"_ZN1a" + hash + ".llvm.12345", "a"},
		{"_ZN1a" + hash + ".cold", "a"},
		// What is C++, or nothing.
		{"_ZN1aEv", ""}, {"_ZN1a17h0123012301230123E", ""}, {"_ZN1a17h012345678gabcdefE", ""},
		{"_ZN" + hash, ""}, {"_ZN0" + hash, ""}, {"_ZN01a" + hash, ""}, {"_ZN9999999999999999999999a" + hash, ""},
		{"_ZN1" + hash, ""}, {"", ""}, {"_ZN", ""}, {"E.", ""},
	} {
		if got, ok := mangled.Rust(tt.raw); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.raw, got, ok, tt.want)
		}
	}
}

// rustNames are the names of the legacy scheme in the Rust libraries that are
// installed, each once.
func rustNames(t *testing.T) []string {
	var files []string
	for _, pattern := range []string{
		"/usr/lib/*-linux-gnu/librustc_driver-*.so", "/usr/lib/*-linux-gnu/libstd-*.so",
		"/root/.rustup/toolchains/*/lib/lib*.so", "/usr/local/rustup/toolchains/*/lib/lib*.so",
	} {
		found, _ := filepath.Glob(pattern)
		files = append(files, found...)
	}
	var names []string
	for _, path := range files {
		im, err := elfsym.OpenPath(path)
		if err != nil {
			t.Log(err)
			continue
		}
		for ref := range elfsym.Ref(im.NumSymbols()) {
			if s, ok := im.Symbol(ref); ok && strings.HasPrefix(s.Name, "_ZN") && strings.Contains(s.Name, "17h") {
				names = append(names, s.Name)
			}
		}
		im.Close()
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// filtered runs a demangler over names.
func filtered(t *testing.T, tool string, names []string) []string {
	t.Helper()
	cmd := exec.Command(tool)
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) != len(names) {
		t.Fatalf("%s: %d answers to %d names", tool, len(lines), len(names))
	}
	return lines
}

// Every legacy name of rustc's own libraries is as binutils' c++filt has it, and
// has the identifiers that llvm-cxxfilt finds, which takes it for a C++ name and
// leaves the escapes as they are.
func TestRustPeers(t *testing.T) {
	cxxfilt, llvm := testenv.Need(t, "c++filt", "binutils"), testenv.Need(t, "llvm-cxxfilt", "llvm")
	names := rustNames(t)
	if len(names) < 1000 {
		testenv.Skip(t, "%d legacy Rust names on this machine: apt-get install libstd-rust-1.63", len(names))
	}
	gnu, cxx := filtered(t, cxxfilt, names), filtered(t, llvm, names)
	bad, notRust := 0, 0
	underscores := 0
	for i, raw := range names {
		got, ok := mangled.Rust(raw)
		if !ok {
			if notRust++; gnu[i] != raw && !strings.Contains(gnu[i], "(") {
				t.Errorf("%s: not decoded, c++filt: %s", raw, gnu[i])
			}
			continue
		}
		if strings.Contains(got, "::_") {
			underscores++
		}
		want := gnu[i]
		if at := strings.LastIndex(want, "::h"); at > 0 && len(want)-at == len("::h0123456789abcdef") {
			want = want[:at]
		}
		// c++filt knows no suffixes of LLVM's.
		if want != raw && want != got {
			if bad++; bad < 10 {
				t.Errorf("%s\n bt:      %s\n c++filt: %s", raw, got, want)
			}
		}
		if want := unescaped(cxx[i]); want != got {
			if bad++; bad < 10 {
				t.Errorf("%s\n bt:   %s\n llvm: %s", raw, got, want)
			}
		}
	}
	t.Logf("%d names, %d with a leading underscore, %d that are none of Rust's, %d differences", len(names), underscores, notRust, bad)
	if underscores == 0 || notRust*100 > len(names) {
		t.Error("these names show nothing")
	}
}

var escapes = strings.NewReplacer("..", "::", "$SP$", "@", "$BP$", "*", "$RF$", "&", "$LT$", "<", "$GT$", ">",
	"$LP$", "(", "$RP$", ")", "$C$", ",", "$u20$", " ", "$u22$", `"`, "$u27$", "'", "$u2b$", "+", "$u3b$", ";", "$u5b$", "[",
	"$u5d$", "]", "$u7b$", "{", "$u7d$", "}", "$u7e$", "~", "$u21$", "!")

// unescaped makes a Rust name of what llvm-cxxfilt takes for C++.
func unescaped(cxx string) string {
	if at := strings.LastIndex(cxx, "::h"); at > 0 {
		cxx = cxx[:at]
	}
	cxx = strings.ReplaceAll("::"+cxx, "::_$", "::$")
	return strings.TrimPrefix(escapes.Replace(cxx), "::")
}

func FuzzRust(f *testing.F) {
	f.Add("_ZN35_$LT$demo..T$u20$as$u20$demo..Q$GT$4_run" + hash)
	f.Fuzz(func(t *testing.T, raw string) {
		name, ok := mangled.Rust(raw)
		if ok == (name == "") || len(name) > 2*len(raw) {
			t.Errorf("%q: %q, %v", raw, name, ok)
		}
	})
}
