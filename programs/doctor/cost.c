/*
 * Measures how long each way of making a descriptor takes on this host. A round runs every way
 * once. The result is the median of several rounds, which take less than a second together.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "findings.h"
#include "report.h"
#include "try.h"

enum { WAYS = 4, SIZES = 3, ROUNDS = 101, LEAST_ROUNDS = 3 };

static const double patience = 0.2; /* seconds for a size */
static const size_t sizes[SIZES] = {4 << 10, 1 << 20, 16 << 20};
static const char *const names[WAYS] = {"plain memfd", "wrap", "scan", "scan with a pool"};

/* Microseconds, or 0 if nothing was measured. The child that measures shares this memory. */
struct costs {
    double medians[WAYS][SIZES];
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Creates, writes and seals a memfd without the library. */
static int plain_memfd(const char *bytes, size_t length)
{
    int fd = (int)syscall(SYS_memfd_create, "plain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t written = 0;
    while (fd >= 0 && written < length) {
        ssize_t count = write(fd, bytes + written, length - written);
        if (count <= 0)
            break;
        written += (size_t)count;
    }
    int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    int is_done = fd >= 0 && written == length && fcntl(fd, F_ADD_SEALS, seals) == 0;
    if (fd >= 0)
        close(fd);
    return is_done ? 0 : -1;
}

static int nothing(int fd, void *context)
{
    (void)fd, (void)context;
    return 0;
}

/* Runs a way once. */
static int take(int way, const char *bytes, size_t length, const bytefd_wrap_options *pool)
{
    if (way == 0)
        return plain_memfd(bytes, length);
    if (way == 1) {
        int fd = bytefd_wrap_buffer(bytes, length, NULL, NULL);
        return fd < 0 ? fd : close(fd);
    }
    return bytefd_scan_bytes(bytes, length, nothing, NULL, way == 3 ? pool : NULL, NULL);
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static int measure_size(struct costs *costs, int size, const char *bytes,
                        const bytefd_wrap_options *pool)
{
    static double times[WAYS][ROUNDS];
    double end = now() + patience;
    int rounds = 0;
    /* The first round probes the kernel and fills the pool. */
    for (int round = -1; round < ROUNDS && (round < LEAST_ROUNDS || now() < end); round++) {
        for (int way = 0; way < WAYS; way++) {
            double start = now();
            if (take(way, bytes, sizes[size], pool) < 0)
                return -1;
            if (round >= 0)
                times[way][round] = 1e6 * (now() - start);
        }
        rounds = round + 1;
    }
    for (int way = 0; way < WAYS; way++) {
        qsort(times[way], (size_t)rounds, sizeof *times[way], compare);
        costs->medians[way][size] = times[way][rounds / 2];
    }
    return 0;
}

static int measure_all(void *context)
{
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    char *bytes = malloc(sizes[SIZES - 1]);
    if (bytes == NULL)
        return ENOMEM;
    memset(bytes, 'x', sizes[SIZES - 1]);
    int status = bytefd_pool_create(NULL, &options.pool, NULL);
    for (int size = 0; status == 0 && size < SIZES; size++)
        status = measure_size(context, size, bytes, &options);
    return status == 0 ? 0 : EIO;
}

void measure(const struct findings *found)
{
    struct costs *costs = shared(sizeof *costs);
    section("measurement");
    if (!found->has_memfd || !found->can_wrap || costs == NULL) {
        fact_text("outcome",
                  "not made: memfd_create or bytefd_wrap_buffer fails, or there is no memory");
        return;
    }
    /* If a limit ends the child, the earlier measurements are shown. */
    struct outcome outcome = try(measure_all, costs);
    fact_text("outcome", "%s", works(outcome) ? "complete" : in_words(outcome));
    for (int way = 0; way < WAYS; way++) {
        for (int size = 0; size < SIZES && costs->medians[WAYS - 1][size] > 0; size++)
            cost(names[way], sizes[size], costs->medians[way][size],
                 costs->medians[way][size] / costs->medians[0][size]);
    }
}
