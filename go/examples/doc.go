// Package examples contains programs to learn from, each in a directory of its own, and the test
// that builds and runs them. They are the textbook programs on mmap(2), written with this module,
// and scand, a service that scans uploads.
package examples
