package hotspot

import (
	"fmt"

	"github.com/gatedso/bt/stack"
)

// monitorWait is the wait for a monitor that another thread has entered.
func monitorWait(monitor uint64, tid int) *stack.Wait {
	return &stack.Wait{
		Call: "futex", Kind: "monitor", Address: monitor,
		Holders: []stack.Party{{TID: tid}},
		Text:    fmt.Sprintf("futex for monitor 0x%x held by thread %d", monitor, tid),
	}
}
