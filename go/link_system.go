//go:build linux && cgo && bytefd_system

package bytefd

// The library that is installed on this machine.

// #cgo pkg-config: bytefd
import "C"
