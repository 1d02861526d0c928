package stack

// Task is a stack that a language runtime keeps apart from the threads, and runs on
// one of them when its turn comes: a goroutine, a task of Python's asyncio.
type Task struct {
	// ID is the number by which the runtime tells it, 0 where it has none.
	ID int64 `json:"id,omitempty"`
	// Name is the name that the program has given it, or empty.
	Name string `json:"name,omitempty"`
	// State is what it does, in the runtime's words: "chan receive", "running".
	State string `json:"state"`
	// Minutes is for how long it has waited, 0 for less than one, or not known.
	Minutes int64 `json:"minutes,omitempty"`
	// CreatedBy is the function that started it, empty where that is not known.
	CreatedBy string `json:"created_by,omitempty"`
	// Creator is the ID of the task that did, 0 where that is not known.
	Creator int64 `json:"creator,omitempty"`
	// Thread is the TID of the thread that it is locked to, 0 for none.
	Thread int `json:"thread,omitempty"`
	// System tells that the runtime has started it for itself.
	System bool `json:"system,omitempty"`
	// Labels are what the program has put on it for profiles.
	Labels []Label `json:"labels,omitempty"`
	// Waits is what it waits for; nil where that is not known.
	Waits *Wait `json:"waits,omitempty"`
	// Frames are its stack, the innermost frame first. Tasks whose stacks are alike
	// may share them.
	Frames []Frame `json:"frames"`
	// End says why there are no more frames.
	End End `json:"end"`
}

// Complete reports whether nothing is missing from the task's stack.
func (t *Task) Complete() bool {
	return t.End.Reason == Outermost || t.End.Reason == Coroutine
}

// Label is a key and its value.
type Label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// RuntimeThread is what a language runtime knows of a thread.
type RuntimeThread struct {
	// Language is "python", "js", "java" or "go".
	Language string `json:"language"`
	// Name is what the program calls the thread, or empty.
	Name string `json:"name,omitempty"`
	// State is what the thread does, in the runtime's words, or empty.
	State string `json:"state,omitempty"`
	// Facts are what else is known, each a statement as it stands after the name:
	// "holds the GIL".
	Facts []string `json:"facts,omitempty"`
}
