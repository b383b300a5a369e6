//go:build linux && cgo

package bytefd_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"syscall"
	"time"

	bytefd "github.com/bytefd/bytefd/go"
)

func ExamplePoolOption() {
	pool, err := bytefd.NewPool(64<<20,
		bytefd.PoolMaxFiles(16), bytefd.PoolIdle(time.Minute), bytefd.PoolMethod(bytefd.PoolAuto))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	err = pool.ScanFile([]byte("hello"), func(f *os.File) error {
		stats, err := pool.Stats()
		fmt.Println(stats.Misses, err)
		return err
	})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// <nil>
}

func ExampleMethod() {
	// A new file for each scan if the host allows it. Otherwise files that are used again.
	var method bytefd.Method = bytefd.PoolNewFiles
	pool, err := bytefd.NewPool(64<<20, bytefd.PoolMethod(method))
	if errors.Is(err, syscall.EOPNOTSUPP) {
		pool, err = bytefd.NewPool(64<<20, bytefd.PoolMethod(bytefd.PoolReuse))
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pool.Close())
	// Output: <nil>
}

func ExamplePool_ScanReader() {
	pool, err := bytefd.NewPool(64 << 20)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	size := func(fd int) error {
		info, err := os.Stat(bytefd.Path(fd))
		fmt.Println(info.Size())
		return err
	}
	err = pool.ScanReader(strings.NewReader("hello"), size, bytefd.WrapSizeHint(5))
	if err != nil {
		log.Fatal(err)
	}
	if err := pool.ScanBuffers([][]byte{[]byte("hello"), []byte(", world")}, size); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 5
	// 12
}
