//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	bytefd "github.com/bytefd/bytefd/go"
)

func ExampleNewPool() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	for _, text := range []string{"one", "two"} {
		err := pool.ScanBytes([]byte(text), func(fd int) error {
			read, err := os.ReadFile(bytefd.Path(fd))
			fmt.Printf("%s\n", read)
			return err
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// one
	// two
}

// A callback that keeps a file has it for itself.
func ExamplePool() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	var kept *os.File
	err = pool.ScanBytes([]byte("first"), func(fd int) (err error) {
		kept, err = bytefd.Reopen(fd)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	defer kept.Close()
	pool.ScanBytes([]byte("second"), func(int) error { return nil })
	text := make([]byte, 10)
	n, err := kept.ReadAt(text[:5], 0)
	fmt.Printf("%s %v\n", text[:n], err)
	stats, err := pool.Stats()
	fmt.Println(stats.Dropped, err)
	// Output:
	// first <nil>
	// 1 <nil>
}

func ExamplePool_ScanBytes() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	err = pool.ScanBytes([]byte("hello"), func(fd int) error {
		info, err := os.Stat(bytefd.Path(fd))
		fmt.Println(info.Size(), info.Mode())
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 5 -r--------
}

func ExampleWrapTrustCallback() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	// The callback reads, and keeps nothing.
	length := func(fd int) error {
		info, err := os.Stat(bytefd.Path(fd))
		fmt.Println(info.Size())
		return err
	}
	trust := bytefd.WrapTrustCallback()
	for _, text := range []string{"one", "three"} {
		if err := pool.ScanBytes([]byte(text), length, trust); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 3
	// 5
}

func ExamplePool_Stats() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	for i := 0; i < 10; i++ {
		pool.ScanBytes(make([]byte, 1000), func(int) error { return nil })
	}
	stats, err := pool.Stats()
	fmt.Println(stats.Misses, stats.Hits, err)
	// Output: 1 9 <nil>
}

func ExamplePoolStats() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	pool.ScanBytes(make([]byte, 1<<20), func(int) error { return nil })
	var stats bytefd.PoolStats
	stats, err = pool.Stats()
	fmt.Println(stats.CachedBytes>>20, "MiB", err)
	// Output: 1 MiB <nil>
}

func ExamplePool_Trim() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	pool.ScanBytes(make([]byte, 1<<20), func(int) error { return nil })
	if err := pool.Trim(0); err != nil {
		log.Fatal(err)
	}
	stats, err := pool.Stats()
	fmt.Println(stats.CachedBytes, err)
	// Output: 0 <nil>
}

func ExamplePool_Close() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	pool.Close()
	err = pool.ScanBytes([]byte("hello"), func(int) error { return nil })
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output: true
}
