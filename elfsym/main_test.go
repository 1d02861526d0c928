package elfsym

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	panicky = true // a panic of this package is a mistake, not a malformed file
	os.Exit(m.Run())
}
