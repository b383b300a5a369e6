// What the Go package is compared with. A module of its own, so that programs that use the package need none of it.
module github.com/bytefd/bytefd/benches/go

go 1.22

require (
	github.com/bytefd/bytefd/go v0.0.0
	github.com/edsrzf/mmap-go v1.2.0
	golang.org/x/sys v0.30.0
)

replace github.com/bytefd/bytefd/go => ../../go
