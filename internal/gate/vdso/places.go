package vdso

import (
	"encoding/hex"
	"path/filepath"
)

// Places lists where distributions install the kernel's images with all their
// symbols, for a build ID: with the modules (make vdso_install), and in the
// debug directories. sysroot is a prefix for the former, or empty.
func Places(id []byte, sysroot string, debugDirs []string) []string {
	var paths []string
	glob := func(dir string, patterns ...string) {
		for _, p := range patterns {
			found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), p))
			paths = append(paths, found...)
		}
	}
	byID := ""
	if name := hex.EncodeToString(id); len(name) > 2 {
		byID = filepath.Join(".build-id", name[:2], name[2:]+".debug")
	}
	modules := []string{"lib/modules", "usr/lib/modules"}
	for _, m := range modules {
		dir := filepath.Join(sysroot, "/", m)
		if byID != "" {
			glob(dir, filepath.Join("*/vdso", byID))
		}
		glob(dir, "*/vdso/*.so", "*/vdso/*.so.dbg")
	}
	for _, dir := range debugDirs {
		if byID != "" {
			paths = append(paths, filepath.Join(dir, byID))
		}
		for _, m := range modules {
			glob(dir, filepath.Join(m, "*/vdso/*.so"), filepath.Join(m, "*/vdso/*.so.debug"))
		}
	}
	return paths
}

// escapeGlob returns the pattern that stands for dir alone.
func escapeGlob(dir string) string {
	var b []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, dir[i])
	}
	return string(b)
}
