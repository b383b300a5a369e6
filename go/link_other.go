//go:build linux && (android || (!amd64 && !arm64)) && cgo && !bytefd_system

package bytefd

// #error "no libbytefd.a for this processor and C library: install one, use -tags bytefd_system"
import "C"
