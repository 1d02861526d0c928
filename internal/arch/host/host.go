// Package host holds what is to be known of the CPU that bt itself is built for,
// where that takes the constants of its kernel.
package host
