//go:build linux && cgo

package bytefd_test

// hasCgo is whether the library does the work, and not Go alone.
const hasCgo = true
