//go:build linux && !android && arm64 && cgo && musl && !bytefd_system

// Package linux_arm64_musl links libbytefd.a for aarch64 and musl.
package linux_arm64_musl

/*
#include <features.h>
#ifdef __GLIBC__
#error "the C library is glibc: build with CC=musl-gcc, or without -tags musl"
#elif !__has_include("libbytefd.a")
#error "libbytefd.a is missing: run make lib in a clone, or install it and use -tags bytefd_system"
#endif

#cgo LDFLAGS: ${SRCDIR}/libbytefd.a -lpthread -ldl -lrt -lm -lc
*/
import "C"

import "embed"

// The go command hashes files that are embedded, but not those that LDFLAGS names. Embedding the
// archive builds the package anew when the archive has changed. Nothing refers to the embedded
// bytes, so the linker drops them.
//
//go:embed libbytefd.*
var _ embed.FS
