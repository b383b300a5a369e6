//go:build linux && !android && amd64 && cgo && !musl && !bytefd_system

package bytefd

import _ "github.com/bytefd/bytefd/go/lib/linux_amd64"
