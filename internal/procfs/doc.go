// Package procfs reads what procfs tells of a process, and opens the files of a
// target: regular ones only, and without letting anyone notice; where the
// target has a root directory of its own (a container, a chroot, a copy of
// another machine's files) the way a process would that was chrooted there, so
// that its symbolic links cannot lead to files of the host.
package procfs
