// Package examples is the place of programs to learn from, each a command of its own, and of their
// test, which builds and runs them: the textbook's programs on mmap(2), with this module in its
// place, and scand, a service that scans uploads.
package examples
