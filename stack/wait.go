package stack

// Wait is what a thread sleeps for. Only what is certain is set.
type Wait struct {
	// Call is the name of the system call, "futex", or what else the thread sleeps
	// in: "uninterruptible sleep", "ptrace stop". It is empty for a task of a
	// language runtime.
	Call string `json:"call,omitempty"`
	// Kind is what is waited for: "mutex", "rwlock", "condition variable", "join",
	// "pipe", "socket", "file lock", "process", "time", "channel", "GIL"; empty
	// where only the call is known.
	Kind string `json:"kind,omitempty"`
	// Address is that of the object in memory, 0 for none.
	Address uint64 `json:"address,omitempty"`
	// FD is the descriptor, nil for none.
	FD *int `json:"fd,omitempty"`
	// Object names what the descriptor or the lock is: a path, "pipe:[48913]".
	Object string `json:"object,omitempty"`
	// Holders are who can end the wait, as far as that is known: the owner of a
	// lock, who writes to a pipe, a child.
	Holders []Party `json:"holders,omitempty"`
	// Text says all of it in one line, as it stands after "waits in". What the
	// target has a hand in is escaped.
	Text string `json:"text"`
}

// Party is a thread, or a process, that others wait for.
type Party struct {
	// PID is the process, 0 for the one that the wait is in.
	PID int `json:"pid,omitempty"`
	// TID is the thread, 0 where the process as a whole is meant.
	TID int `json:"tid,omitempty"`
	// Task is the number of a goroutine, 0 for none.
	Task int64 `json:"task,omitempty"`
	// Name is the name of the thread or the process, or empty.
	Name string `json:"name,omitempty"`
	// FD is the descriptor that it has of what is waited for, nil for none.
	FD *int `json:"fd,omitempty"`
}

// Deadlock is a circle: each waits for the next, and the last for the first.
type Deadlock struct {
	Edges []WaitEdge `json:"edges"`
	// Text says it in one line, as it stands after "deadlock:".
	Text string `json:"text"`
}

// WaitEdge is one that waits for another one.
type WaitEdge struct {
	Waiter Party `json:"waiter"`
	Holder Party `json:"holder"`
	// Kind and Address are those of Wait: by what Holder keeps Waiter.
	Kind    string `json:"kind"`
	Address uint64 `json:"address,omitempty"`
	// Object is that of Wait.
	Object string `json:"object,omitempty"`
}

// KernelFrame is a function of the kernel that a thread is in.
type KernelFrame struct {
	// Symbol is the function's name, or its address where the kernel hides names.
	Symbol string `json:"symbol"`
	// Offset is the distance from the function's start in bytes.
	Offset uint64 `json:"offset,omitempty"`
	// Module is the kernel module that the function is in, empty for the kernel.
	Module string `json:"module,omitempty"`
}
