package unwind

import (
	"testing"

	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// countingCode has one row for all pcs, and counts how often it is asked.
type countingCode struct{ rows int }

func (c *countingCode) Row(pc uint64, exact bool) (*cfi.Row, How) {
	c.rows++
	return new(cfi.Row), HowCFI
}

func (c *countingCode) Executable(uint64) bool          { return true }
func (c *countingCode) Text(uint64, []byte) int         { return 0 }
func (c *countingCode) FuncStart(uint64) (uint64, bool) { return 0, false }

// A walker that sees ever new code forgets what it has not seen for long, and
// nothing that it sees all the time.
func TestPlansAreBounded(t *testing.T) {
	c := new(countingCode)
	w := New(amd64.Arch, c)
	const often = 0x1000
	w.plan(often, true)
	for i := uint64(1); i < 5*maxPlans; i++ {
		w.plan(0x100000+16*i, true)
		if n := len(w.recent) + len(w.older); n > 2*maxPlans {
			t.Fatalf("%d plans", n)
		}
		if i%(maxPlans/2) == 0 {
			clear(w.hot[:]) // which hides uses
			asked := c.rows
			if w.plan(often, true); c.rows != asked {
				t.Fatalf("after %d others the plan is gone", i)
			}
		}
	}
	asked := c.rows
	if w.plan(0x100000+16, true); c.rows == asked {
		t.Error("the oldest plan is still there")
	}
	// Finding a plan again costs nothing.
	if n := testing.AllocsPerRun(100, func() { w.plan(often, true); w.plan(0x100000+16, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
