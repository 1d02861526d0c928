//go:build linux

package crash

import (
	"regexp"
	"strings"
)

// cgroupOf finds the process's control group in /proc/PID/cgroup: that of the
// unified hierarchy (cgroups(7): "0::PATH"), or where there is none but "/" the
// longest of the others.
func cgroupOf(text string) string {
	best := ""
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) < 3 {
			continue
		}
		path := fields[2]
		if fields[0] == "0" && path != "/" {
			return path
		}
		if len(path) > len(best) {
			best = path
		}
	}
	return best
}

// containerOf tells the container that a control group is of, its ID or its
// name, and the runtime that has made it; empty where it is none of a known
// runtime's.
func containerOf(cgroup string) (id, runtime string) {
	// Not made at start-up, which every command of bt would pay.
	for _, c := range [...]struct{ runtime, path string }{
		{"docker", `/docker[-/]([0-9a-f]{12,64})(?:\.scope)?(?:/|$)`},
		{"podman", `/libpod-(?:conmon-)?([0-9a-f]{12,64})(?:\.scope)?(?:/|$)`},
		{"containerd", `[/:]cri-containerd[-:]([0-9a-f]{12,64})(?:\.scope)?(?:/|$)`},
		{"cri-o", `/crio-([0-9a-f]{12,64})(?:\.scope)?(?:/|$)`},
		{"systemd-nspawn", `/machine\.slice/(?:systemd-nspawn@|machine-)([^/]+?)\.(?:service|scope)(?:/|$)`},
		{"lxc", `/lxc(?:\.payload)?[./]([^/]+)(?:/|$)`},
		// Kubernetes without systemd: /kubepods/QOS/podUID/ID.
		{"kubernetes", `/kubepods[^/]*/(?:[^/]+/)*([0-9a-f]{64})(?:/|$)`},
	} {
		if m := regexp.MustCompile(c.path).FindStringSubmatch(cgroup); m != nil {
			return m[1], c.runtime
		}
	}
	return "", ""
}
