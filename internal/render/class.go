package render

import (
	"strings"

	"github.com/gatedso/bt/stack"
)

// Library reports whether a call is in code that the program's authors have most
// likely not written: the system's libraries, the standard library of its language. It
// is for colours, and may be wrong.
func (c *Call) Library() bool {
	if c.Kernel != nil || c.Frame == nil {
		return true
	}
	return IsLibrary(c.Frame, c.Name)
}

// IsLibrary is Call.Library of a name of a frame, which is nil for none.
func IsLibrary(f *stack.Frame, n *stack.Name) bool {
	if n != nil && n.Language != "" {
		return libraryFile(n.File) || n.Language == "java" && hasAnyPrefix(n.Symbol, javaPackages)
	}
	m := f.Module
	if m == nil {
		return n == nil // memory of no file: a JIT compiler's code, if it has a name
	}
	if strings.HasPrefix(m.Path, "[") || strings.Contains(m.Path, ".so") && hasAnyPrefix(m.Path, systemDirs) {
		return true
	}
	if n == nil {
		return false
	}
	if f.Found == stack.ByGo || f.Found == stack.ByInjected || n.Source == "gopclntab" {
		return goLibrary(n.Symbol)
	}
	return hasAnyPrefix(n.Symbol, standardNames) || libraryFile(n.File)
}

var (
	systemDirs    = []string{"/lib", "/usr/lib", "/nix/store/", "/gnu/store/"}
	javaPackages  = []string{"java.", "javax.", "jdk.", "sun.", "com.sun."}
	standardNames = []string{"std::", "<std::", "core::", "<core::", "alloc::", "<alloc::", "__gnu_cxx::", "_start", "__libc_", "__rust_", "rust_", "_Unwind_"}
	libraryDirs   = []string{"/site-packages/", "/dist-packages/", "/node_modules/", "/lib/python", "/rustc/", "/usr/include/"}
)

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// libraryFile reports whether a source file belongs to a library.
func libraryFile(file string) bool {
	if hasAnyPrefix(file, []string{"<frozen", "node:", "/usr/lib/"}) {
		return true
	}
	for _, d := range libraryDirs {
		if strings.Contains(file, d) {
			return true
		}
	}
	return false
}

// goLibrary reports whether a function of Go is of its standard library: the first part
// of its package's path has no dot, and is not main.
func goLibrary(symbol string) bool {
	pkg, _, _ := strings.Cut(symbol, "[") // type arguments have paths as well
	if first, _, ok := strings.Cut(pkg, "/"); ok {
		return !strings.Contains(first, ".")
	}
	first, _, _ := strings.Cut(pkg, ".")
	return first != "main"
}
