//go:build linux && cgo

package bench

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"

	bytefd "github.com/bytefd/bytefd/go"
)

// A task is done by each of its ways; the first is what the others are compared with.
type task struct {
	name    string
	repeats int
	ways    []taskWay
}

type taskWay struct {
	name string
	run  func() error
}

// BenchmarkMap compares maps with those of mmap-go, and building in place with building on the heap, as
// BenchmarkDescriptor does. With BYTEFD_BENCH_KEEP the table is written to benches/results/go.maps.txt too.
func BenchmarkMap(b *testing.B) {
	const mapped, built = 256 << 20, 64 << 20
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, pattern(mapped), 0o600); err != nil {
		b.Fatal(err)
	}
	piece := pattern(64 << 10)
	whole := func(read func(b []byte) error) []taskWay {
		return []taskWay{
			{"mmap-go", func() error { return withMmapGo(path, read) }},
			{"MapFile", func() error { return withMap(path, read) }},
			{"MapFile, guarded", func() error { return withMap(path, read, bytefd.MapGuard()) }},
		}
	}
	tasks := []task{
		{"256 MiB, opened and closed", 50, whole(func([]byte) error { return nil })},
		{"256 MiB, read sequentially", 1, whole(sequentially)},
		{"256 MiB, 100 000 bytes read at random", 1, whole(atRandom)},
		{"64 MiB built in pieces of 64 KiB, sealed", 1, []taskWay{
			{"bytes.Buffer, WrapBuffer", func() error {
				var buffer bytes.Buffer
				for buffer.Len() < built {
					buffer.Write(piece)
				}
				file, err := bytefd.WrapBuffer(buffer.Bytes())
				if err != nil {
					return err
				}
				return file.Close()
			}},
			{"MapWriter", func() error { return buildInPlace(piece, built) }},
		}},
	}
	sections := make([]string, len(tasks))
	for at, task := range tasks {
		b.Run(strings.ReplaceAll(task.name, " ", "_"), func(b *testing.B) {
			var table strings.Builder // again with each call
			fmt.Fprintf(&table, "\n%s:\n", task.name)
			for i, measured := range measureTask(b, task) {
				fmt.Fprintf(&table, "%30s %12.2f   %.3f\n", task.ways[i].name, measured.nanos/1e3, measured.ratio)
				b.ReportMetric(measured.ratio, strings.ReplaceAll(task.ways[i].name, " ", "_")+"-x")
			}
			b.ReportMetric(0, "ns/op") // of all ways together: says nothing
			sections[at] = table.String()
		})
	}
	table := host() + "\n\nMicroseconds (median), and how many times as long as the first (median of the ratios)\n" +
		strings.Join(sections, "")
	fmt.Printf("\n%s\n", table)
	if os.Getenv("BYTEFD_BENCH_KEEP") != "" && !slices.Contains(sections, "") {
		keep(b, filepath.Join("..", "results"), "go.maps", table)
	}
}

// measureTask says for each way the median time, and how many times as long as the first it takes.
func measureTask(b *testing.B, task task) row {
	const rounds, warmUp = 21, 2
	nanos := make([][]float64, len(task.ways))
	ratios := make([][]float64, len(task.ways))
	for round := -warmUp; round < rounds; round++ {
		first := 0.0
		for i, way := range task.ways {
			start := time.Now()
			for range task.repeats {
				if err := way.run(); err != nil {
					b.Fatal(way.name, err)
				}
			}
			took := float64(time.Since(start).Nanoseconds()) / float64(task.repeats)
			if i == 0 {
				first = took
			}
			if round >= 0 {
				nanos[i] = append(nanos[i], took)
				ratios[i] = append(ratios[i], took/first)
			}
		}
	}
	measured := make(row, len(task.ways))
	for i := range task.ways {
		measured[i].nanos, measured[i].ratio = median(nanos[i]), median(ratios[i])
	}
	return measured
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

// What is read goes here, so that it must be read.
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
