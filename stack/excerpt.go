package stack

// Excerpt is lines of a source file, around a place.
type Excerpt struct {
	// File and Line are the place: a path, and a line from 1.
	File string `json:"file"`
	Line int    `json:"line"`
	// First is the number of the first of Lines.
	First int `json:"first"`
	// Lines are without their ends. They are as the file has them, and not harmless
	// to print. Long ones are cut, and end with "…" then.
	Lines []string `json:"lines"`
}
