//go:build linux && cgo

package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bytefd/bytefd/benches/go/recipe"
	bytefd "github.com/bytefd/bytefd/go"
)

// A way puts bytes behind a descriptor, looks at its size, and cleans up.
type way struct {
	name string
	make func(b *testing.B) func(bytes []byte) error
}

// The first is what the others are compared with.
var ways = []way{
	{"recipe", func(*testing.B) func([]byte) error { return recipe.Run }},
	{"x/sys/unix", func(*testing.B) func([]byte) error { return plainMemfd }},
	{"ScanBytes", func(*testing.B) func([]byte) error {
		return func(bytes []byte) error { return bytefd.ScanBytes(bytes, look) }
	}},
	{"Pool", func(b *testing.B) func([]byte) error { return pooled(b) }},
	{"trusted", func(b *testing.B) func([]byte) error { return pooled(b, bytefd.TrustCallback()) }},
}

func look(fd int) error {
	var stat unix.Stat_t
	return unix.Fstat(fd, &stat)
}

// plainMemfd is what programs do with golang.org/x/sys/unix.
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

func pooled(b *testing.B, opts ...bytefd.Option) func(bytes []byte) error {
	pool, err := bytefd.NewPool(256 << 20)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close() })
	return func(bytes []byte) error { return pool.ScanBytes(bytes, look, opts...) }
}

// BenchmarkDescriptor compares the ways. Every round runs each once on the same bytes, one after the other, so that a
// disturbance hits all of them. What is reported is the median over the rounds of the ratio within a round, and the
// medians themselves. With BYTEFD_BENCH_KEEP the table is written to benches/results/go.txt too, and the one before is kept.
func BenchmarkDescriptor(b *testing.B) {
	benchSizes := []int{0, 64, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20}
	source := pattern(slices.Max(benchSizes))
	rows := map[int]row{}
	for _, size := range benchSizes {
		b.Run(strings.ReplaceAll(sizeName(size), " ", ""), func(b *testing.B) {
			measured := measure(b, source[:size])
			for i, way := range ways {
				b.ReportMetric(measured[i].nanos, way.name+"-ns")
				if i > 0 {
					b.ReportMetric(measured[i].ratio, way.name+"-x")
				}
			}
			b.ReportMetric(0, "ns/op") // of all ways together: says nothing
			rows[size] = measured
		})
	}
	if len(rows) == 0 {
		return
	}
	var table strings.Builder
	writeTable(&table, benchSizes, rows)
	fmt.Printf("\n%s\n", table.String())
	if os.Getenv("BYTEFD_BENCH_KEEP") != "" && len(rows) == len(benchSizes) {
		keep(b, filepath.Join("..", "results"), "go", table.String())
	}
}

// row is what was measured at one size, for each way.
type row []struct {
	nanos float64 // median
	ratio float64 // how many times as fast as the first way, median over the rounds
}

func measure(b *testing.B, bytes []byte) row {
	// Small ones are repeated within a measurement, because reading the clock would show.
	repeats := 1
	switch {
	case len(bytes) <= 4<<10:
		repeats = 50
	case len(bytes) <= 256<<10:
		repeats = 10
	}
	runs := make([]func([]byte) error, len(ways))
	for i, way := range ways {
		runs[i] = way.make(b)
	}
	nanos := make([][]float64, len(ways))
	ratios := make([][]float64, len(ways))
	const warmUp = 2 // fills caches and pools
	for round := -warmUp; round < b.N; round++ {
		first := 0.0
		for i, run := range runs {
			start := time.Now()
			for range repeats {
				if err := run(bytes); err != nil {
					b.Fatal(ways[i].name, err)
				}
			}
			took := float64(time.Since(start).Nanoseconds()) / float64(repeats)
			if i == 0 {
				first = took
			}
			if round >= 0 {
				nanos[i] = append(nanos[i], took)
				ratios[i] = append(ratios[i], first/took)
			}
		}
	}
	measured := make(row, len(ways))
	for i := range ways {
		measured[i].nanos, measured[i].ratio = median(nanos[i]), median(ratios[i])
	}
	return measured
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func writeTable(table *strings.Builder, sizes []int, rows map[int]row) {
	fmt.Fprintf(table, "%s\n\n", host())
	fmt.Fprintf(table, "Microseconds (median), and in brackets how many times as fast as the recipe (median of the ratios):\n\n%8s", "")
	for _, way := range ways {
		fmt.Fprintf(table, "%19s", way.name)
	}
	for _, size := range sizes {
		measured, found := rows[size]
		if !found {
			continue
		}
		fmt.Fprintf(table, "\n%8s", sizeName(size))
		for _, way := range measured {
			fmt.Fprintf(table, "%10.2f %8s", way.nanos/1e3, fmt.Sprintf("(%.2f)", way.ratio))
		}
	}
	table.WriteByte('\n')
}

// host tells kernel and settings, without which no figure means anything.
func host() string {
	var name unix.Utsname
	unix.Uname(&name)
	settings, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	_, chosen, _ := strings.Cut(string(settings), "[")
	chosen, _, found := strings.Cut(chosen, "]")
	if !found {
		chosen = "unknown"
	}
	return fmt.Sprintf("Linux %s, %d processors, shmem_enabled=%s, %s. Absolute times are this machine's; compare within one run only.",
		unix.ByteSliceToString(name.Release[:]), runtime.NumCPU(), chosen, runtime.Version())
}

// pattern returns n bytes of which no two pages are equal.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>12*7)
	}
	return b
}

func sizeName(size int) string {
	switch {
	case size < 1<<10:
		return fmt.Sprintf("%d B", size)
	case size < 1<<20:
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d MiB", size>>20)
}

// keep writes the result and keeps the one before, so that a change can be compared.
func keep(b *testing.B, folder, name, table string) {
	path := filepath.Join(folder, name+".txt")
	if err := os.Rename(path, filepath.Join(folder, name+".previous.txt")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
		b.Fatal(err)
	}
}
