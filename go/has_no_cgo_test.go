//go:build linux && !cgo

package bytefd_test

// hasCgo is true if the library does the work, and false if Go alone does.
const hasCgo = false
