//go:build linux && cgo

package main

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/bytefd/bytefd/benches/go/recipe"
	bytefd "github.com/bytefd/bytefd/go"
)

// Each way puts bytes behind a descriptor, reads its size, and cleans up.
func descriptorRows() []row {
	var rows []row
	for _, size := range []int{64, 4 << 10, 64 << 10, 512 << 10, 1 << 20, 4 << 20, 64 << 20} {
		of := func(run func([]byte) error) func(string) (func() error, error) {
			return func(string) (func() error, error) {
				bytes := pattern(size)
				return func() error { return run(bytes) }, nil
			}
		}
		pooled := func(opts ...bytefd.WrapOption) func(string) (func() error, error) {
			return func(string) (func() error, error) {
				pool, err := bytefd.NewPool(256 << 20)
				if err != nil {
					return nil, err
				}
				bytes := pattern(size)
				return func() error { return pool.ScanBytes(bytes, look, opts...) }, nil
			}
		}
		rows = append(rows, row{sizeName(size), min(max(1<<20/size, 1), 50), []way{
			{"x/sys/unix, plain memfd", of(plainMemfd)},
			{"usual recipe", of(recipe.Run)},
			{"ScanBytes", of(func(bytes []byte) error { return bytefd.ScanBytes(bytes, look) })},
			{"Pool", pooled()},
			{"Pool, trusted", pooled(bytefd.WrapTrustCallback())},
		}})
	}
	return rows
}

func look(fd int) error {
	var stat unix.Stat_t
	return unix.Fstat(fd, &stat)
}

// plainMemfd does with golang.org/x/sys/unix what programs do by hand.
func plainMemfd(bytes []byte) (err error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, unix.Close(fd)) }()
	for len(bytes) > 0 {
		n, err := unix.Write(fd, bytes)
		if err != nil {
			return err
		}
		bytes = bytes[n:]
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	return look(fd)
}
