//go:build linux && cgo

package bench

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	bytefd "github.com/bytefd/bytefd/go"
)

// report prints for each way of the tasks the median time in nanoseconds, how many times as long
// as the first way it takes, and how many allocations it makes.
func report(b *testing.B, tasks []task) {
	for _, task := range tasks {
		b.Run(strings.ReplaceAll(task.name, " ", "_"), func(b *testing.B) {
			var table strings.Builder // again with each call
			fmt.Fprintf(&table, "\n%s:\n", task.name)
			for i, measured := range measureTask(b, task) {
				way := task.ways[i]
				allocations := testing.AllocsPerRun(5, func() { way.run() })
				const format = "%32s %12.1f ns   %.3f   %.0f allocations\n"
				fmt.Fprintf(&table, format, way.name, measured.nanos, measured.ratio, allocations)
				b.ReportMetric(measured.ratio, strings.ReplaceAll(way.name, " ", "_")+"-x")
			}
			b.ReportMetric(0, "ns/op") // of all ways together: says nothing
			fmt.Print(table.String())
		})
	}
}

// BenchmarkCopies compares the copies of maps with read(2) from the same file.
func BenchmarkCopies(b *testing.B) {
	const length = 1 << 20
	var tasks []task
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		path := filepath.Join(b.TempDir(), "file")
		if err := os.WriteFile(path, pattern(length), 0o600); err != nil {
			b.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { file.Close() })
		p := make([]byte, size)
		read := func(r io.ReaderAt, off int64) func() error {
			return func() error { _, err := r.ReadAt(p, off); return err }
		}
		write := func(w io.WriterAt, off int64) func() error {
			return func() error { _, err := w.WriteAt(p, off); return err }
		}
		first := []taskWay{{"os.File.ReadAt", read(file, 0)}}
		t := task{fmt.Sprintf("%s copied", sizeName(size)), 500, first}
		if size > 4<<10 {
			t.repeats = 50
		}
		guard := bytefd.MapGuard()
		for _, c := range []struct {
			name string
			opts []bytefd.MapOption
		}{
			{"plain", nil},
			{"plain, for writing", []bytefd.MapOption{bytefd.MapWrite()}},
			{"guarded", []bytefd.MapOption{guard}},
			{"guarded, for writing", []bytefd.MapOption{guard, bytefd.MapWrite()}},
			{"guarded, private", []bytefd.MapOption{guard, bytefd.MapPrivate()}},
		} {
			m, err := bytefd.MapFile(path, c.opts...)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { m.Close() })
			t.ways = append(t.ways, taskWay{c.name + ": ReadAt", read(m, 0)})
			if len(c.opts) > 0 && !strings.HasSuffix(c.name, "guarded") {
				t.ways = append(t.ways, taskWay{c.name + ": WriteAt", write(m, 0)})
			}
			if strings.HasPrefix(c.name, "guarded") {
				last := int64(length - size)
				t.ways = append(t.ways, taskWay{c.name + ": ReadAt, last", read(m, last)})
				if c.name != "guarded" {
					t.ways = append(t.ways, taskWay{c.name + ": WriteAt, last", write(m, last)})
				}
				shown, err := bytefd.MapFile(path, c.opts...)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { shown.Close() })
				shown.Bytes()
				t.ways = append(t.ways, taskWay{c.name + ", shown: ReadAt", read(shown, 0)})
				t.ways = append(t.ways, taskWay{c.name + ", shown: ReadAt, last", read(shown, last)})
				if c.name != "guarded" {
					t.ways = append(t.ways, taskWay{c.name + ", shown: WriteAt", write(shown, 0)})
				}
			}
		}
		tasks = append(tasks, t)
	}
	report(b, tasks)
}

// sealedFile is what programs write with golang.org/x/sys/unix for what WrapBuffer promises.
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

// BenchmarkWrap compares WrapBuffer with the same through golang.org/x/sys/unix.
func BenchmarkWrap(b *testing.B) {
	var tasks []task
	for _, size := range []int{0, 64, 1 << 10, 4 << 10} {
		bytes := pattern(size)
		tasks = append(tasks, task{fmt.Sprintf("%s wrapped", sizeName(size)), 200, []taskWay{
			{"x/sys/unix", func() error { return closed(sealedFile(bytes)) }},
			{"WrapBuffer", func() error { return closed(bytefd.WrapBuffer(bytes)) }},
		}})
	}
	report(b, tasks)
}

// source is a reader of bytes and nothing else.
type source struct{ io.Reader }

// BenchmarkReaders compares content that is read with reading into a buffer and wrapping that.
func BenchmarkReaders(b *testing.B) {
	pool, err := bytefd.NewPool(256 << 20)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close() })
	var tasks []task
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20} {
		content := pattern(size)
		reader := func() io.Reader { return source{bytes.NewReader(content)} }
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
		name := sizeName(size)
		repeats := max(1, (256<<10)/size)
		tasks = append(tasks, task{name + " of known length read, wrapped", repeats, []taskWay{
			{"a buffer of that length, WrapBuffer", sized},
			{"WrapReader, hint", func() error { return closed(bytefd.WrapReader(reader(), hint)) }},
			{"WrapReader", func() error { return closed(bytefd.WrapReader(reader())) }},
			{"MapWriter", build},
			{"io.ReadAll, WrapBuffer", buffered(func(b []byte) error {
				return closed(bytefd.WrapBuffer(b))
			})},
		}}, task{name + " read, scanned from a pool", repeats, []taskWay{
			{"io.ReadAll, Pool.ScanBytes", buffered(func(b []byte) error {
				return pool.ScanBytes(b, look)
			})},
			{"Pool.ScanReader", func() error { return pool.ScanReader(reader(), look) }},
			{"Pool.ScanReader, hint", func() error { return pool.ScanReader(reader(), look, hint) }},
		}})
	}
	report(b, tasks)
}
