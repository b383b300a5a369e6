//go:build linux && cgo

package main

import (
	"bytes"
	"math/rand"
	"os"

	"github.com/edsrzf/mmap-go"

	bytefd "github.com/bytefd/bytefd/go"
)

const mapped, built = 256 << 20, 64 << 20

// Compares maps with those of mmap-go, and building in place with building on the heap.
func mapRows() []row {
	whole := func(title string, repeats int, read func(b []byte) error) row {
		return row{title, repeats, []way{
			{"mmap-go", func(path string) (func() error, error) {
				return func() error { return withMmapGo(path, read) }, nil
			}},
			{"MapFile", func(path string) (func() error, error) {
				return func() error { return withMap(path, read) }, nil
			}},
			{"MapFile, guarded", func(path string) (func() error, error) {
				return func() error { return withMap(path, read, bytefd.MapGuard()) }, nil
			}},
		}}
	}
	piece := pattern(64 << 10)
	return []row{
		whole("256 MiB, opened and closed", 50, func([]byte) error { return nil }),
		whole("256 MiB, read sequentially", 1, sequentially),
		whole("256 MiB, 100 000 bytes read at random", 1, atRandom),
		{"64 MiB built in pieces of 64 KiB, sealed", 1, []way{
			{"bytes.Buffer, WrapBuffer", func(string) (func() error, error) {
				return func() error { return buildOnHeap(piece, built) }, nil
			}},
			{"MapWriter", func(string) (func() error, error) {
				return func() error { return buildInPlace(piece, built) }, nil
			}},
		}},
	}
}

func withMmapGo(path string, read func(b []byte) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	mapped, err := mmap.Map(file, mmap.RDONLY, 0)
	if err != nil {
		return err
	}
	defer mapped.Unmap()
	return read(mapped)
}

func withMap(path string, read func(b []byte) error, opts ...bytefd.MapOption) error {
	m, err := bytefd.MapFile(path, opts...)
	if err != nil {
		return err
	}
	defer m.Close()
	return read(m.Bytes())
}

// The sum of the bytes read, so that the compiler does not remove the reads.
var sink uint64

func sequentially(b []byte) error {
	var sum uint64
	for _, c := range b {
		sum += uint64(c)
	}
	sink += sum
	return nil
}

func atRandom(b []byte) error {
	random := rand.New(rand.NewSource(1))
	for range 100_000 {
		sink += uint64(b[random.Intn(len(b))])
	}
	return nil
}

func buildOnHeap(piece []byte, size int) error {
	var buffer bytes.Buffer
	for buffer.Len() < size {
		buffer.Write(piece)
	}
	file, err := bytefd.WrapBuffer(buffer.Bytes())
	if err != nil {
		return err
	}
	return file.Close()
}

func buildInPlace(piece []byte, size int) error {
	w, err := bytefd.NewMapWriter()
	if err != nil {
		return err
	}
	defer w.Close()
	for w.Len() < size {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	file, m, err := w.Seal()
	if err != nil {
		return err
	}
	m.Close()
	return file.Close()
}
