module github.com/bytefd/bytefd

go 1.22

require (
	github.com/edsrzf/mmap-go v1.2.0
	golang.org/x/sys v0.30.0
)
