//go:build !bytefd_system

package bytefd

// The static library that `make lib` builds.

// #cgo linux LDFLAGS: ${SRCDIR}/../dist/lib/libbytefd.a -lpthread -ldl -lrt -lm -lc
import "C"
