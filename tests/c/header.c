/*
 * The header needs no other header before it, and may be included twice. It is valid C99 to C17
 * and C++11 to C++20. This file is compiled, not run.
 */
#include <bytefd.h>
#include <bytefd.h>

/*
 * The macros give every member a value, so that no compiler warns. They also initialize static
 * objects.
 */
static const bytefd_wrap_options wrap_defaults = BYTEFD_WRAP_OPTIONS_INIT;
static const bytefd_stream_options stream_defaults = BYTEFD_STREAM_OPTIONS_INIT;
static const bytefd_pool_options pool_defaults = BYTEFD_POOL_OPTIONS_INIT;
static const bytefd_pool_stats pool_stats = BYTEFD_POOL_STATS_INIT;
static const bytefd_map_options map_defaults = BYTEFD_MAP_OPTIONS_INIT;
static const bytefd_requirements requirements_defaults = BYTEFD_REQUIREMENTS_INIT;
static const bytefd_transfer_options transfer_defaults = BYTEFD_TRANSFER_OPTIONS_INIT;
static const bytefd_credentials credentials = BYTEFD_CREDENTIALS_INIT;
static const bytefd_shm_options shm_defaults = BYTEFD_SHM_OPTIONS_INIT;
static const bytefd_sweep_result sweep_result = BYTEFD_SWEEP_RESULT_INIT;
static const bytefd_tempfile_options tempfile_defaults = BYTEFD_TEMPFILE_OPTIONS_INIT;
static const bytefd_sysv_options sysv_defaults = BYTEFD_SYSV_OPTIONS_INIT;

static int take(int fd, void *context)
{
    return fd == *(int *)context;
}

int use_the_header(void);

int use_the_header(void)
{
    bytefd_wrap_options wrap = wrap_defaults;
    bytefd_stream_options stream = stream_defaults;
    bytefd_pool_options pool = pool_defaults;
    bytefd_map_options map = map_defaults;
    bytefd_requirements requirements = requirements_defaults;
    bytefd_transfer_options transfer = transfer_defaults;
    bytefd_shm_options shm = shm_defaults;
    bytefd_sysv_options sysv = sysv_defaults;
    bytefd_scan_fn scan = take;
    bytefd_error error;
    bytefd_map *handle;
    int fd = 0;

    wrap.flags |= BYTEFD_INHERIT | BYTEFD_READ_ONLY;
    wrap.backend = BYTEFD_BACKEND_MEMFD;
    stream.flags |= BYTEFD_INTERRUPTIBLE;
    stream.max_bytes = BYTEFD_UNLIMITED;
    pool.method = BYTEFD_POOL_REUSE;
    map.flags |= BYTEFD_MAP_NO_FORK;
    map.access = BYTEFD_MAP_PRIVATE;
    map.length = BYTEFD_TO_END;
    requirements.flags |= BYTEFD_REQUIRE_UID;
    transfer.flags |= BYTEFD_TRANSFER_SOME;
    shm.flags |= BYTEFD_SHM_CREATE;
    sysv.flags |= BYTEFD_SYSV_TRANSIENT;
    if (stream.size + pool.size + requirements.size + transfer.size + shm.size + sysv.size
            + pool_stats.size + credentials.size + sweep_result.size + tempfile_defaults.size == 0)
        return 1;
    if (map_file("file", &map, &handle, &error) == 0)
        bytefd_map_close(handle);
    return scan_bytes("", 0, scan, &fd, &wrap, &error);
}
