package fault

import "testing"

func TestSignalName(t *testing.T) {
	for n, want := range map[int]string{
		1: "SIGHUP", 6: "SIGABRT", 9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 17: "SIGCHLD", 29: "SIGIO", 31: "SIGSYS",
		32: "32", 33: "33", 34: "SIGRTMIN", 35: "SIGRTMIN+1", 37: "SIGRTMIN+3", 64: "SIGRTMIN+30", 65: "65", 0: "0", -1: "-1",
	} {
		if got := SignalName(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
