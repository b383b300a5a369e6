//go:build linux && cgo

package main

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	bytefd "github.com/bytefd/bytefd/go"
)

// Compares copies from maps with read(2) from the same file.
func copyRows() []row {
	var rows []row
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		read := func(r io.ReaderAt, off int64) func() error {
			p := make([]byte, size)
			return func() error { _, err := r.ReadAt(p, off); return err }
		}
		ways := []way{{"os.File.ReadAt", func(path string) (func() error, error) {
			file, err := os.Open(path)
			return read(file, 0), err
		}}}
		add := func(name string, isShown bool, off int64, opts ...bytefd.MapOption) {
			ways = append(ways, way{name, func(path string) (func() error, error) {
				m, err := bytefd.MapFile(path, opts...)
				if err == nil && isShown {
					m.Bytes()
				}
				return read(m, off), err
			}})
		}
		last := int64(mapped - size)
		guard, private := bytefd.MapGuard(), bytefd.MapPrivate()
		add("plain", false, 0)
		add("guarded", false, 0, guard)
		add("guarded, the program has the memory", true, 0, guard)
		add("guarded, private, the last bytes", false, last, guard, private)
		rows = append(rows,
			row{sizeName(size) + " copied out of a map", max(50, min(500, 1<<20/size)), ways})
	}
	return rows
}

// sealedFile does with golang.org/x/sys/unix what WrapBuffer does.
func sealedFile(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	for written := 0; err == nil && written < len(b); {
		var n int
		n, err = unix.Pwrite(fd, b[written:], int64(written))
		written += n
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err = cmp.Or(err, unix.Fchmod(fd, 0o400)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "bench"), nil
}

func closed(f *os.File, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

// prepared is a way without preparation.
func prepared(name string, run func() error) way {
	return way{name, func(string) (func() error, error) { return run, nil }}
}

// Compares WrapBuffer with the same steps through golang.org/x/sys/unix.
func wrapRows() []row {
	var rows []row
	for _, size := range []int{64, 4 << 10} {
		bytes := pattern(size)
		rows = append(rows, row{sizeName(size) + " wrapped", 200, []way{
			prepared("x/sys/unix", func() error { return closed(sealedFile(bytes)) }),
			prepared("WrapBuffer", func() error { return closed(bytefd.WrapBuffer(bytes)) }),
		}})
	}
	return rows
}

// source is a reader of bytes without any other method.
type source struct{ io.Reader }

// Compares WrapReader with reading into a buffer and wrapping that.
func readerRows() []row {
	pool, err := bytefd.NewPool(256 << 20)
	if err != nil {
		panic(err)
	}
	var rows []row
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20, 8 << 20} {
		content := sync.OnceValue(func() []byte { return pattern(size) })
		reader := func() io.Reader { return source{bytes.NewReader(content())} }
		hint := bytefd.WrapSizeHint(int64(size))
		buffered := func(use func(b []byte) error) func() error {
			return func() error {
				b, err := io.ReadAll(reader())
				return cmp.Or(err, use(b))
			}
		}
		sized := func() error {
			b := make([]byte, size)
			if _, err := io.ReadFull(reader(), b); err != nil {
				return err
			}
			return closed(bytefd.WrapBuffer(b))
		}
		build := func() error {
			w, err := bytefd.NewMapWriter()
			if err != nil {
				return err
			}
			defer w.Close()
			if _, err := w.ReadFrom(reader()); err != nil {
				return err
			}
			file, m, err := w.Seal()
			if err != nil {
				return err
			}
			m.Close()
			return file.Close()
		}
		repeats := max(1, (256<<10)/size)
		rows = append(rows, row{sizeName(size) + " of known length read, wrapped", repeats, []way{
			prepared("a buffer of that length, WrapBuffer", sized),
			prepared("WrapReader, hint",
				func() error { return closed(bytefd.WrapReader(reader(), hint)) }),
			prepared("WrapReader", func() error { return closed(bytefd.WrapReader(reader())) }),
			prepared("MapWriter", build),
			prepared("io.ReadAll, WrapBuffer", buffered(func(b []byte) error {
				return closed(bytefd.WrapBuffer(b))
			})),
		}}, row{sizeName(size) + " read, scanned from a pool", repeats, []way{
			prepared("io.ReadAll, Pool.ScanBytes", buffered(func(b []byte) error {
				return pool.ScanBytes(b, look)
			})),
			prepared("Pool.ScanReader", func() error { return pool.ScanReader(reader(), look) }),
			prepared("Pool.ScanReader, hint",
				func() error { return pool.ScanReader(reader(), look, hint) }),
		}})
	}
	return rows
}
