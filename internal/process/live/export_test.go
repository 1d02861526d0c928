//go:build linux

package live

import "sync/atomic"

// Collect is what runs beside a seizing that takes long.
func (p *Process) Collect(done *atomic.Bool) { p.collect(done) }
