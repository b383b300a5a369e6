//go:build linux && cgo

// This program compares the Go package with what programs do without it: make bench.
//
// It executes itself [processes] times for every row. Each process measures the row alone and
// prints the median time of each way. A way that is fast in one process and slow in another shows
// as a range.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	processes = 6
	// warmUp rounds fill caches and pools. At least rounds rounds are then measured, for at least
	// duration.
	warmUp, rounds = 2, 3
	duration       = 300 * time.Millisecond
)

// A row is one task and the ways to do it. The others are compared with the first way.
type row struct {
	title   string
	repeats int // within a measurement, because reading the clock would show
	ways    []way
}

// A way makes its preparations, which are not measured, and returns the function that is measured.
// path is that of a file of 256 MiB.
type way struct {
	name string
	make func(path string) (func() error, error)
}

func main() {
	log.SetFlags(0)
	rows := slices.Concat(descriptorRows(), wrapRows(), mapRows(), copyRows(), readerRows())
	if len(os.Args) == 4 && os.Args[1] == "row" {
		number, err := strconv.Atoi(os.Args[2])
		if err == nil {
			err = answer(rows[number], os.Args[3])
		}
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := compare(rows); err != nil {
		log.Fatal(err)
	}
}

// compare measures all rows in turns, so that a disturbance affects only one process of each.
func compare(rows []row) error {
	file, err := os.CreateTemp("", "bytefd-bench-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(pattern(mapped)); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return err
	}
	times := make([][][]float64, len(rows)) // of a row, a process and a way
	for process := range processes {
		fmt.Fprintf(os.Stderr, "process %d of %d for each of %d rows\n",
			process+1, processes, len(rows))
		for number := range rows {
			medians, err := inFreshProcess(number, file.Name())
			if err != nil {
				return fmt.Errorf("%s: %w", rows[number].title, err)
			}
			times[number] = append(times[number], medians)
		}
	}
	return keep(filepath.Join("benches", "results"), "go", table(rows, times))
}

func inFreshProcess(number int, path string) ([]float64, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process := exec.Command(program, "row", strconv.Itoa(number), path)
	process.Stderr = os.Stderr
	line, err := process.Output()
	if err != nil {
		return nil, err
	}
	var medians []float64
	for _, field := range strings.Fields(string(line)) {
		median, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, err
		}
		medians = append(medians, median)
	}
	return medians, nil
}

// answer prints the median time of each way, in nanoseconds.
func answer(row row, path string) error {
	runs := make([]func() error, len(row.ways))
	for i, way := range row.ways {
		run, err := way.make(path)
		if err != nil {
			return err
		}
		runs[i] = run
	}
	nanos, err := measure(runs, row.repeats)
	if err != nil {
		return err
	}
	for _, way := range nanos {
		fmt.Print(median(way), " ")
	}
	fmt.Println()
	return nil
}

// measure runs every way once in every round. The way that ran before affects how long a way takes,
// so every round has another order.
func measure(runs []func() error, repeats int) ([][]float64, error) {
	nanos := make([][]float64, len(runs))
	begun := time.Now()
	for round := -warmUp; round < rounds || time.Since(begun) < duration; round++ {
		if round == 0 {
			begun = time.Now()
		}
		for _, i := range rand.Perm(len(runs)) {
			start := time.Now()
			for range repeats {
				if err := runs[i](); err != nil {
					return nil, err
				}
			}
			if round >= 0 {
				nanos[i] = append(nanos[i],
					float64(time.Since(start).Nanoseconds())/float64(repeats))
			}
		}
	}
	return nanos, nil
}

func table(rows []row, times [][][]float64) string {
	var table strings.Builder
	fmt.Fprintf(&table, "%s\n\nMicroseconds (median), and how many times as long as the first: "+
		"minimum, median and maximum over %d processes\nof the ratio of the medians of each.\n",
		host(), processes)
	for number, row := range rows {
		fmt.Fprintf(&table, "\n%s\n", row.title)
		for i, way := range row.ways {
			var nanos, ratios []float64
			for _, process := range times[number] {
				nanos = append(nanos, process[i])
				ratios = append(ratios, process[i]/process[0])
			}
			fmt.Fprintf(&table, "%36s %12.2f   %.2f %.2f %.2f\n",
				way.name, median(nanos)/1e3, slices.Min(ratios), median(ratios), slices.Max(ratios))
		}
	}
	return table.String()
}

func median(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

// host returns kernel and settings, without which no figure has a meaning.
func host() string {
	var name unix.Utsname
	unix.Uname(&name)
	settings, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	_, chosen, _ := strings.Cut(string(settings), "[")
	chosen, _, found := strings.Cut(chosen, "]")
	if !found {
		chosen = "unknown"
	}
	return fmt.Sprintf("Linux %s, %d processors, shmem_enabled=%s, %s. "+
		"Absolute times are this machine's; compare within one run only.",
		unix.ByteSliceToString(name.Release[:]), runtime.NumCPU(), chosen, runtime.Version())
}

// pattern returns n bytes. No two of their pages are equal.
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

// keep prints the result and writes it, and keeps the previous one for comparison.
func keep(folder, name, table string) error {
	fmt.Print(table)
	path := filepath.Join(folder, name+".txt")
	err := os.Rename(path, filepath.Join(folder, name+".previous.txt"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(table), 0o644)
}
