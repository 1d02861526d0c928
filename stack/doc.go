// Package stack is the model of named stacks: what bt knows of a process, its
// threads and their frames, before it is printed in one format or another. It
// holds plain data and imports nothing.
//
// Every string belongs to the model. None lies in a mapped file, so that a model
// stays as it is when files are closed, or truncated by someone else. Strings are
// as the target has them: names and paths may hold control characters and bytes
// that are not UTF-8, and whatever prints them for people escapes them. In sentences made for people (the Text
// of an End, a Death or a Note) the names are escaped already.
//
// Values may be shared: frames of one module share its Module, and frames of one
// address may share their Names. Treat what you did not make yourself as constant.
//
// The JSON tags are the names of the fields in bt's own output.
package stack
