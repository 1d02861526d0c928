package mangled

import "strings"

// Fortran decodes the name of a procedure in a module, as gfortran makes it:
// __MODULE_MOD_PROCEDURE, all else in lower case, shown as gdb does, with "::".
// Suffixes that gcc appends, such as ".constprop.0", are left out.
//
// Source: gcc, gcc/fortran/trans-decl.cc, gfc_sym_mangled_function_id.
func Fortran(raw string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(raw, "__")
	if !ok {
		return "", false
	}
	rest, _, _ = strings.Cut(rest, ".")
	module, procedure, ok := strings.Cut(rest, "_MOD_")
	if !ok || !fortranName(module) || !fortranName(procedure) {
		return "", false
	}
	return module + "::" + procedure, true
}

// fortranName reports whether s is a name of Fortran's, in lower case as
// gfortran has them.
func fortranName(s string) bool {
	for i, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || i > 0 && (isDigit(c) || c == '_')) {
			return false
		}
	}
	return s != ""
}
