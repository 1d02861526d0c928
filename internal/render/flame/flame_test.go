package flame

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

func htmlOf(s render.Sample, processes ...*stack.Process) string {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w}
	for _, p := range processes {
		render.Process(f, p, s)
	}
	f.Close()
	w.Flush()
	return out.String()
}

// parsed is the data of a page.
func parsed(t *testing.T, html string) document {
	t.Helper()
	_, text, _ := strings.Cut(html, `<script type="application/json" id="data">`)
	text, _, ok := strings.Cut(text, "</script>")
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil || !ok {
		t.Fatalf("%v: %s", err, text)
	}
	return d
}

// lines are the nodes, indented: label, kind and value.
func (d *document) lines() (lines []string) {
	var left []int64
	for _, n := range d.Nodes {
		for len(left) > 0 && left[len(left)-1] == 0 {
			left = left[:len(left)-1]
		}
		if len(left) > 0 {
			left[len(left)-1]--
		}
		lines = append(lines, strings.Repeat(" ", len(left))+d.Strings[n[0]]+" ("+d.Strings[n[1]]+") "+string(rune('0'+n[2])))
		left = append(left, n[6])
	}
	return lines
}

func TestNodes(t *testing.T) {
	d := parsed(t, htmlOf(render.Sample{}, rendertest.Server()))
	hostile := escape.Name(rendertest.Hostile)
	want := []string{
		"all (all) 5",
		" process 1234 /srv/server (process) 5",
		"  " + hostile + " (thread) 1",
		"   0x10 (library) 1",
		"    script><img src=x onerror=alert(1)>'&(9) 12 \\\\+0x3010 (native) 1",
		"     " + hostile + " (native) 1",
		"  goroutine [chan receive] (task) 1",
		"   runtime.gopark (native) 1",
		"  server (thread) 1",
		"   _start (library) 1", "    main (native) 1", "     sum (inlined) 1", "      poll (library) 1",
		"  worker (thread) 2",
		"   [incomplete: no memory] (missing) 1", "    _PyEval_EvalFrameDefault (runtime) 1", "     handle (python) 1",
		"      __restore_rt (library) 1", "       poll (library) 1", "        do_poll (kernel) 1",
		"   _start (library) 1", "    main (native) 1", "     sum (inlined) 1", "      poll (library) 1",
	}
	got := d.lines()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"process 1234: deadlock: 1234 waits for 1235"}, d.Notes); diff != "" {
		t.Error(diff)
	}
}

// Recursion is drawn once, with how often it comes.
func TestRecursion(t *testing.T) {
	frame := func(name string, pc uint64) stack.Frame {
		return stack.Frame{PC: pc, Names: []stack.Name{{Symbol: name}}}
	}
	frames := []stack.Frame{frame("leaf", 1)}
	for range 1000 {
		frames = append(frames, frame("even", 2), frame("odd", 3))
	}
	frames = append(frames, frame("main", 4))
	d := parsed(t, htmlOf(render.Sample{}, &stack.Process{PID: 1, Threads: []stack.Thread{{TID: 1, Name: "x", Frames: frames, End: rendertest.Outermost}}}))
	want := []string{"   main (native) 1", "    odd (native) 1", "     even (native) 1", "      … the 2 frames above, 999 more times (missing) 1", "       leaf (native) 1"}
	if diff := cmp.Diff(want, d.lines()[3:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The page's policy allows its own script, and the data cannot end its element.
func TestPolicy(t *testing.T) {
	html := htmlOf(render.Sample{}, rendertest.Server())
	_, script, _ := strings.Cut(html, "<script>")
	script, _, _ = strings.Cut(script, "</script>")
	sum := sha256.Sum256([]byte(script))
	if want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(html, want) {
		t.Errorf("page.html must have %s", want)
	}
	if strings.Contains(html, "<img") || strings.Count(html, "</script>") != 2 {
		t.Error("a name became part of the page")
	}
	if strings.Contains(html, "http:") || strings.Contains(html, "https:") {
		t.Error("the page leads elsewhere")
	}
}

// TestBrowser opens the page in a browser, and uses it: it zooms, searches, and no name
// became code.
func TestBrowser(t *testing.T) {
	chromium := testenv.Need(t, "chromium", "chromium")
	b := startBrowser(t, chromium)
	p := rendertest.Server()
	file := filepath.Join(t.TempDir(), "flame.html")
	if err := os.WriteFile(file, []byte(htmlOf(render.Sample{Count: 3}, p)), 0o666); err != nil {
		t.Fatal(err)
	}
	b.open("file://" + file)
	if got := b.text(`document.title`); got != "bt: process 1234 /srv/server" {
		t.Errorf("the title is %q", got)
	}
	labels := `[...document.querySelectorAll(".f")].map(e => e.title).join("|")`
	all := strings.Split(b.text(labels), "|")
	if len(all) != 24 || !slices.Contains(all, "handle") || !slices.Contains(all, escape.Name(rendertest.Hostile)) {
		t.Errorf("%d frames: %q", len(all), all)
	}
	if got := b.text(`String(document.images.length + document.querySelectorAll("script").length)`); got != "2" {
		t.Errorf("%s images and scripts", got)
	}
	// A click zooms, another one on what is above zooms out.
	b.click(`[...document.querySelectorAll(".f")].find(e => e.title === "worker")`)
	zoomed := strings.Split(b.text(labels), "|")
	if len(zoomed) >= len(all) || slices.Contains(zoomed, "goroutine [chan receive]") || !slices.Contains(zoomed, "handle") {
		t.Errorf("zoomed: %q", zoomed)
	}
	if got := b.text(`document.getElementById("detail").textContent`); got != "worker · 6 samples, 40.0%" {
		t.Errorf("%q", got)
	}
	b.click(`[...document.querySelectorAll(".f")].find(e => e.title === "all")`)
	if got := strings.Split(b.text(labels), "|"); len(got) != len(all) {
		t.Errorf("zoomed out: %q", got)
	}
	// What is typed is searched for.
	b.click(`document.getElementById("search")`)
	b.typed("SUM")
	if got := b.text(`document.getElementById("matched").textContent`); got != "40.0% of the samples match" {
		t.Errorf("%q", got)
	}
	if got := b.text(`[...document.querySelectorAll(".found")].map(e => e.title).join("|")`); got != "sum|sum" {
		t.Errorf("found %q", got)
	}
	for _, mode := range []string{"thread", "state", "module"} {
		b.text(`(() => { const c = document.getElementById("colour"); c.value = "` + mode + `"; c.onchange(); return ""; })()`)
		if got := b.text(`document.getElementById("legend").textContent`); got == "" {
			t.Errorf("no legend of %s", mode)
		}
	}
	// It fits a phone, is legible in the dark, and can be printed.
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true})
	if got := b.text(`String(document.documentElement.scrollWidth <= 360)`); got != "true" {
		t.Error("the page is wider than a phone")
	}
	b.screenshot("phone")
	b.call("Emulation.clearDeviceMetricsOverride", nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}})
	if got := b.text(`getComputedStyle(document.body).backgroundColor`); got != "rgb(22, 22, 22)" {
		t.Errorf("in the dark the ground is %s", got)
	}
	b.screenshot("dark")
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": "print"})
	if got := b.text(`getComputedStyle(document.querySelector(".bar")).display`); got != "none" {
		t.Errorf("the controls are printed: %s", got)
	}
	b.screenshot("print")
}

// browser is a headless browser that is driven by the Chrome DevTools Protocol.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	session string
	id      int
}

func startBrowser(t *testing.T, path string) *browser {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1200,700",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.ExtraFiles = []*os.File{inR, outW} // its descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	b := &browser{t: t, to: inW, from: bufio.NewReader(outR)}
	t.Cleanup(func() {
		b.session = ""
		b.call("Browser.close", nil)
		inW.Close()
		cmd.Wait()
		outR.Close()
	})
	return b
}

// call sends a message, and waits for its answer.
func (b *browser) call(method string, params any) (result json.RawMessage) {
	b.t.Helper()
	b.id++
	msg := map[string]any{"id": b.id, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if b.session != "" {
		msg["sessionId"] = b.session
	}
	text, err := json.Marshal(msg)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		text, err := b.from.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  json.RawMessage
		}
		if err := json.Unmarshal(text[:len(text)-1], &answer); err != nil {
			b.t.Fatal(err)
		}
		if answer.ID == b.id {
			if answer.Error != nil {
				b.t.Fatalf("%s: %s", method, answer.Error)
			}
			return answer.Result
		}
	}
}

// open opens a page in a window of its own.
func (b *browser) open(url string) {
	b.t.Helper()
	var target struct{ TargetID, SessionID string }
	json.Unmarshal(b.call("Target.createTarget", map[string]any{"url": url}), &target)
	json.Unmarshal(b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &target)
	b.session = target.SessionID
	for range 600 {
		if b.text(`String(document.readyState === "complete" && document.querySelectorAll(".f").length > 0)`) == "true" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatal("the page is not drawn")
}

// text evaluates JavaScript to a string.
func (b *browser) text(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value string }
		ExceptionDetails json.RawMessage
	}
	if err := json.Unmarshal(b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}), &r); err != nil || r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %v %s", expression, err, r.ExceptionDetails)
	}
	return r.Result.Value
}

// click clicks with the mouse on the middle of an element.
func (b *browser) click(element string) {
	b.t.Helper()
	var at struct{ X, Y float64 }
	text := b.text(`(() => { const r = (` + element + `).getBoundingClientRect(); return JSON.stringify({x: r.x + r.width / 2, y: r.y + r.height / 2}); })()`)
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		b.t.Fatal(err)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1})
	}
}

func (b *browser) typed(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text})
}

// screenshot writes what is seen to a file below BT_SCREENSHOTS, if that is set.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("BT_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data []byte }
	if err := json.Unmarshal(b.call("Page.captureScreenshot", nil), &shot); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o666); err != nil {
		b.t.Fatal(err)
	}
}
