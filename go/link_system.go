//go:build bytefd_system

package bytefd

// The library that is installed on this machine.

// #cgo linux pkg-config: bytefd
import "C"
