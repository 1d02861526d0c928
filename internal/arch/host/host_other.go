//go:build !linux || (!amd64 && !arm64)

package host

// AuditArch is 0: nothing is known of this CPU.
const AuditArch uint32 = 0

// FileCalls are not known.
func FileCalls() []uint32 { return nil }
