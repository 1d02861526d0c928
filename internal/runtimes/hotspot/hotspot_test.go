//go:build linux

package hotspot

import "testing"

// TestClassName holds names to those that the JVM prints.
func TestClassName(t *testing.T) {
	for in, want := range map[string]string{
		"java/util/ArrayList":             "java.util.ArrayList",
		"A$1":                             "A$1",
		"A$$Lambda+0x00007f3a84000a08":    "A$$Lambda/0x00007f3a84000a08",
		"p/A$$Lambda$14+0x0000000800c031": "p.A$$Lambda$14/0x0000000800c031",
	} {
		if got := className(in); got != want {
			t.Errorf("className(%q) = %q, want %q", in, got, want)
		}
	}
}
