//go:build linux && !android && arm64 && cgo && !musl && !bytefd_system

package bytefd

import _ "github.com/bytefd/bytefd/go/lib/linux_arm64"
