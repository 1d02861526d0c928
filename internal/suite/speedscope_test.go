//go:build linux

package suite

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// speedscope is the version of the package whose importer is tried.
const speedscope = "speedscope@1.25.0"

// speedscope's importer takes the text of --format perf: each thread is a profile there.
func TestSpeedscope(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a package of npm's")
	}
	npm := testenv.Need(t, "npm", "npm")
	browser := testenv.Need(t, "chromium", "chromium")
	dir := tempDir(t)
	cmd := exec.Command(npm, "pack", "--silent", speedscope)
	cmd.Dir = dir
	name, err := cmd.Output()
	if err != nil {
		testenv.Skip(t, "npm has no %s: %v", speedscope, err)
	}
	if out, err := exec.Command("tar", "-C", dir, "-xzf", filepath.Join(dir, strings.TrimSpace(string(name)))).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := startAs(t, docProgram(t, dir, "bank.c"))
	text := bt(t, "--pid", itoa(p.pid), "--format", "perf").want(t, 0).stdout
	// The way in which speedscope's own command line hands a file to its page.
	load := `speedscope.loadFileFromBase64("bank.perf", "` + base64.StdEncoding.EncodeToString([]byte(text)) + `")`
	script := filepath.Join(dir, "profile.js")
	if err := os.WriteFile(script, []byte(load), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--virtual-time-budget=60000",
		"--user-data-dir="+filepath.Join(dir, "browser"), "--dump-dom",
		"file://"+filepath.Join(dir, "package/dist/release/index.html")+"#localProfilePath="+script)
	page, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, page)
	}
	events := strings.Count(text, " bt:\n")
	for _, head := range []string{"bank", "rent", "wages"} {
		if want := ">" + head + " pid: " + itoa(p.pid) + " tid: "; events != 3 || !strings.Contains(string(page), want) {
			t.Errorf("%d events, no %q in\n%s", events, want, page)
		}
	}
}
