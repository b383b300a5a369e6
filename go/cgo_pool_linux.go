package bytefd

// #include "bytefd.h"
import "C"

import "unsafe"

// This does not compile if a constant differs from the header.
var _ = [1]struct{}{}[0|
	PoolAuto^C.BYTEFD_POOL_AUTO|
	PoolReuse^C.BYTEFD_POOL_REUSE|
	PoolNewFiles^C.BYTEFD_POOL_NEW_FILES]

func poolCreate(o *poolOptions) (unsafe.Pointer, error) {
	c := C.bytefd_pool_options{
		size:      C.sizeof_bytefd_pool_options,
		max_bytes: C.uint64_t(o.maxBytes),
		idle_ns:   -1, // no limit
		max_files: C.uint32_t(o.maxFiles),
		method:    C.uint32_t(o.method),
	}
	if o.idle != nil {
		c.idle_ns = C.int64_t(*o.idle)
	}
	var pool *C.bytefd_pool
	var failure C.bytefd_error
	_, err := result(C.bytefd_pool_create(&c, &pool, &failure), &failure)
	return unsafe.Pointer(pool), err
}

func poolTrim(pool unsafe.Pointer, bytes int) error {
	var failure C.bytefd_error
	status := C.bytefd_pool_trim((*C.bytefd_pool)(pool), C.uint64_t(bytes), &failure)
	_, err := result(status, &failure)
	return err
}

func poolStats(pool unsafe.Pointer) (PoolStats, error) {
	stats := C.bytefd_pool_stats{size: C.sizeof_bytefd_pool_stats}
	var failure C.bytefd_error
	_, err := result(C.bytefd_pool_get_stats((*C.bytefd_pool)(pool), &stats, &failure), &failure)
	return PoolStats{
		Hits:        uint64(stats.hits),
		Misses:      uint64(stats.misses),
		Dropped:     uint64(stats.dropped),
		Lent:        uint64(stats.lent),
		CachedBytes: uint64(stats.cached_bytes),
	}, err
}

func poolClose(pool unsafe.Pointer) {
	C.bytefd_pool_close((*C.bytefd_pool)(pool))
}
