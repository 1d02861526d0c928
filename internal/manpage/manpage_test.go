package manpage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/testenv"
)

// What roff would take for its own, or print as another character, is printed as it is.
func TestSpecial(t *testing.T) {
	testenv.Need(t, "man", "man-db")
	cmd := &cobra.Command{
		Use:   "prog [flags]",
		Short: "Do it",
		Long: `.TH at a line's start, 'and quotes', "double", back\slash \fBno bold\fR, ^ ~ ` + "`x`" + ` and a-b --flag.

  .SH in what stays as it is
  'tis   spaced   $(x) \n

'A paragraph that begins with a quote.

Exit status: that of the command; 1 not done, 127 the 2nd thing, 3 else.`,
		Example: "  # It's an example.\n  prog -x 'a\\b' | wc\n  .dot\n  # Another\n  prog",
		Run:     func(*cobra.Command, []string) {},
	}
	cmd.Flags().StringP("out", "o", "", "write to `FILE`, 'or' \\not")
	path := filepath.Join(t.TempDir(), "prog.1")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, cmd, Options{Version: "prog 1", Date: time.Unix(0, 0)}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	man := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", path)
	man.Env = append(os.Environ(), "MANWIDTH=120", "LC_ALL=C.UTF-8", "MANPAGER=cat", "PAGER=cat")
	out, err := man.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"NAME\n       prog - do it\n",
		"SYNOPSIS\n       prog [flags]\n",
		`       .TH at a line's start, 'and quotes', "double", back\slash \fBno bold\fR, ^ ~ ` + "`x`" + ` and a-b --flag.` + "\n",
		"\n         .SH in what stays as it is\n         'tis   spaced   $(x) \\n\n",
		"\n       'A paragraph that begins with a quote.\n",
		"\n       -o, --out FILE\n              write to FILE, 'or' \\not\n",
		"EXIT STATUS\n       that of the command.\n\n       1      not done\n\n       127    the 2nd thing\n\n       3      else\n",
		"EXAMPLES\n       It's an example.\n\n              prog -x 'a\\b' | wc\n              .dot\n\n       Another\n\n              prog\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
