// Package trust tells whether root can rely on what a path leads to.
package trust
