//go:build linux

package trust

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/testenv"
)

func TestPath(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Skip(t, "needs root, who alone can give files away")
	}
	for _, c := range []struct {
		name       string
		top, inner uint32 // modes
		owner      int    // of the inner one
		want       string
	}{
		{"root's alone", 0o755, 0o755, 0, ""},
		{"private", 0o700, 0o700, 0, ""},
		{"below a sticky one", 0o1777, 0o755, 0, ""},
		{"below a writable one", 0o777, 0o755, 0, "/top has mode 0777): chmod go-w "},
		{"writable by a group", 0o755, 0o775, 0, "/inner has mode 0775): chmod go-w "},
		{"a sticky one itself", 0o755, 0o1777, 0, "/inner has mode 1777): chmod go-w "},
		{"a user's", 0o755, 0o755, 65534, "/inner belongs to user 65534): chown it to root"},
		{"a user's below a sticky one", 0o1777, 0o755, 65534, "/inner belongs to user 65534): chown it to root"},
	} {
		top := filepath.Join(t.TempDir(), "top")
		inner := filepath.Join(top, "inner")
		if err := os.MkdirAll(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unix.Chmod(top, c.top), os.Chown(inner, c.owner, -1), unix.Chmod(inner, c.inner)); err != nil {
			t.Fatal(err)
		}
		err := Path(inner)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (!errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}

	dir := t.TempDir()
	if err := os.Symlink("/", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := Path(dir + "/link"); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	if err := Path(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}
