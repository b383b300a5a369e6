//go:build linux && !android && amd64 && cgo && !musl && !bytefd_system

// Package linux_amd64 links libbytefd.a for x86_64 and glibc.
package linux_amd64

/*
#include <features.h>
#ifndef __GLIBC__
#error "the C library is not glibc: build with -tags musl"
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
