/*
 * Counts what the library takes from the heap: its calls of malloc and the like come here first.
 * Ends with 0 if pooled scans take nothing but the handle that bytefd_scan_begin gives out.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytefd.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static long taken, given_back;

void *malloc(size_t size)
{
    taken++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    taken++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    taken++;
    return __libc_realloc(old, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    taken++;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    taken++;
    return __libc_memalign(alignment, size);
}

void free(void *memory)
{
    if (memory)
        given_back++;
    __libc_free(memory);
}

static int look(int fd, void *context)
{
    char byte = 0;
    return pread(fd, &byte, 1, 0) == 1 && byte == *(char *)context ? 0 : 1;
}

static int nested(int fd, void *context);

static int (*scan_bytes_)(const void *, size_t, bytefd_scan_fn, void *, const bytefd_wrap_options *,
                          bytefd_error *);
static int (*scan_begin_)(const void *, size_t, const bytefd_wrap_options *, bytefd_scan **,
                          bytefd_error *);
static int (*scan_end_)(bytefd_scan *);
static int (*pool_create_)(const bytefd_pool_options *, bytefd_pool **, bytefd_error *);
static int (*pool_close_)(bytefd_pool *);

struct both {
    char *bytes;
    const bytefd_wrap_options *options;
};

static int nested(int fd, void *context)
{
    struct both *both = context;
    return look(fd, both->bytes) ||
           scan_bytes_(both->bytes, 100, look, both->bytes, both->options, NULL);
}

static int failed;

static void expect(const char *what, long count, long most)
{
    if (count > most) {
        printf("%s: %ld allocations, at most %ld are allowed\n", what, count, most);
        failed = 1;
    }
}

int main(int count, char **arguments)
{
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (!library) {
        puts("the library's path is needed");
        return 1;
    }
    *(void **)&scan_bytes_ = dlsym(library, "scan_bytes");
    *(void **)&scan_begin_ = dlsym(library, "bytefd_scan_begin");
    *(void **)&scan_end_ = dlsym(library, "bytefd_scan_end");
    *(void **)&pool_create_ = dlsym(library, "bytefd_pool_create");
    *(void **)&pool_close_ = dlsym(library, "bytefd_pool_close");

    static char bytes[200000];
    static const size_t sizes[] = {1, 64, 4096, 65536, 200000};
    static const uint64_t flags[] = {0, BYTEFD_TRUST_CALLBACK};
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    long before = taken;
    if (pool_create_(NULL, &options.pool, NULL) < 0)
        return 1;
    if (taken == before) {
        puts("the library's allocations are not seen here");
        return 1;
    }
    for (unsigned f = 0; f < 2; f++) {
        options.flags = flags[f];
        for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            char what[100];
            memset(bytes, 'a' + s, sizeof bytes);
            for (int round = 0; round < 3; round++)
                failed |= scan_bytes_(bytes, sizes[s], look, bytes, &options, NULL);
            before = taken;
            for (int round = 0; round < 1000; round++)
                failed |= scan_bytes_(bytes, sizes[s], look, bytes, &options, NULL);
            snprintf(what, sizeof what, "1000 times scan_bytes, %zu bytes, flags %u", sizes[s],
                     (unsigned)flags[f]);
            expect(what, taken - before, 0);

            before = taken;
            long before_given_back = given_back;
            for (int round = 0; round < 1000; round++) {
                bytefd_scan *scan;
                int fd = scan_begin_(bytes, sizes[s], &options, &scan, NULL);
                failed |= fd < 0 || look(fd, bytes) || scan_end_(scan);
            }
            snprintf(what, sizeof what, "1000 times begin and end, %zu bytes, flags %u", sizes[s],
                     (unsigned)flags[f]);
            expect(what, taken - before, 1000);
            if (taken - before != given_back - before_given_back) {
                printf("%s: %ld given back\n", what, given_back - before_given_back);
                failed = 1;
            }
        }
        struct both both = {bytes, &options};
        for (int round = 0; round < 3; round++)
            failed |= scan_bytes_(bytes, 5000, nested, &both, &options, NULL);
        before = taken;
        for (int round = 0; round < 1000; round++)
            failed |= scan_bytes_(bytes, 5000, nested, &both, &options, NULL);
        expect("1000 nested scans", taken - before, 0);
    }
    before = taken;
    failed |= pool_close_(options.pool);
    expect("closing", taken - before, 0);
    if (failed)
        puts("failed");
    return failed;
}
