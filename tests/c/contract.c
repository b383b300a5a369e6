/*
 * contract [GROUP...]: what include/bytefd.h promises, checked as a C program sees it. This file has the layout of the
 * types, those in contract/ have the functions. Exit status 0 if everything holds and nothing is left over.
 */
#include "contract/check.h"

/* A program built with this header must work with every later library: nothing here may ever change. */
_Static_assert(sizeof(bytefd_error) == 256, "size of bytefd_error");
_Static_assert(offsetof(bytefd_error, code) == 0, "code");
_Static_assert(offsetof(bytefd_error, op) == 4, "op");
_Static_assert(offsetof(bytefd_error, message) == 36, "message");

_Static_assert(sizeof(bytefd_wrap_options) == 40, "size of bytefd_wrap_options");
_Static_assert(offsetof(bytefd_wrap_options, size) == 0, "size");
_Static_assert(offsetof(bytefd_wrap_options, name) == 8, "name");
_Static_assert(offsetof(bytefd_wrap_options, flags) == 16, "flags");
_Static_assert(offsetof(bytefd_wrap_options, backend) == 20, "backend");
_Static_assert(offsetof(bytefd_wrap_options, mode) == 24, "mode");
_Static_assert(offsetof(bytefd_wrap_options, pool) == 32, "pool");

_Static_assert(sizeof(bytefd_map_options) == 56, "size of bytefd_map_options");
_Static_assert(offsetof(bytefd_map_options, size) == 0, "size");
_Static_assert(offsetof(bytefd_map_options, offset) == 8, "offset");
_Static_assert(offsetof(bytefd_map_options, length) == 16, "length");
_Static_assert(offsetof(bytefd_map_options, file_size) == 24, "file_size");
_Static_assert(offsetof(bytefd_map_options, access) == 32, "access");
_Static_assert(offsetof(bytefd_map_options, flags) == 36, "flags");
_Static_assert(offsetof(bytefd_map_options, mode) == 40, "mode");
/* The first version of the struct ended here, at 48. */
_Static_assert(offsetof(bytefd_map_options, reserve) == 48, "reserve");

_Static_assert(sizeof(bytefd_pool_counts) == 40, "size of bytefd_pool_counts");
_Static_assert(offsetof(bytefd_pool_counts, size) == 0, "size");
_Static_assert(offsetof(bytefd_pool_counts, lent_again) == 8, "lent_again");
_Static_assert(offsetof(bytefd_pool_counts, new_files) == 16, "new_files");
_Static_assert(offsetof(bytefd_pool_counts, dropped) == 24, "dropped");
_Static_assert(offsetof(bytefd_pool_counts, kept_bytes) == 32, "kept_bytes");

_Static_assert(BYTEFD_WRITABLE == 1 && BYTEFD_READ_ONLY == 2 && BYTEFD_EXECUTABLE == 4, "wrap flags");
_Static_assert(BYTEFD_INHERIT == 8 && BYTEFD_SEAL_CONTENT == 16 && BYTEFD_TRUST_CALLBACK == 32, "wrap flags");
_Static_assert(BYTEFD_BACKEND_AUTO == 0 && BYTEFD_BACKEND_MEMFD == 1, "backends");
_Static_assert(BYTEFD_BACKEND_SHM == 2 && BYTEFD_BACKEND_TMPFILE == 3, "backends");
_Static_assert(BYTEFD_MAP_READ == 0 && BYTEFD_MAP_WRITE == 1 && BYTEFD_MAP_PRIVATE == 2, "access");
_Static_assert(BYTEFD_MAP_CREATE == 1 && BYTEFD_MAP_EXECUTE == 2 && BYTEFD_MAP_POPULATE == 4, "map flags");
_Static_assert(BYTEFD_MAP_LOCK == 8 && BYTEFD_MAP_HUGE_PAGES == 16 && BYTEFD_MAP_NO_RESERVE == 32, "map flags");
_Static_assert(BYTEFD_MAP_BEYOND_EOF == 64 && BYTEFD_MAP_GUARD == 128, "map flags");
_Static_assert(BYTEFD_MAP_NO_FORK == 256 && BYTEFD_MAP_WIPE_ON_FORK == 512, "map flags");
_Static_assert(BYTEFD_FLUSH_SYNC == 0 && BYTEFD_FLUSH_ASYNC == 1 && BYTEFD_FLUSH_INVALIDATE == 2, "flush");
_Static_assert(BYTEFD_PROTECTION_NONE == 0 && BYTEFD_PROTECTION_READ == 1, "protection");
_Static_assert(BYTEFD_PROTECTION_WRITE == 2 && BYTEFD_PROTECTION_EXECUTE == 4, "protection");
_Static_assert(BYTEFD_ADVICE_NORMAL == 0 && BYTEFD_ADVICE_RANDOM == 1 && BYTEFD_ADVICE_SEQUENTIAL == 2, "advice");
_Static_assert(BYTEFD_ADVICE_WILL_NEED == 3 && BYTEFD_ADVICE_DONT_NEED == 4 && BYTEFD_ADVICE_FREE == 8, "advice");
_Static_assert(BYTEFD_ADVICE_REMOVE == 9 && BYTEFD_ADVICE_DONT_FORK == 10 && BYTEFD_ADVICE_DO_FORK == 11, "advice");
_Static_assert(BYTEFD_ADVICE_MERGEABLE == 12 && BYTEFD_ADVICE_UNMERGEABLE == 13, "advice");
_Static_assert(BYTEFD_ADVICE_HUGE_PAGE == 14 && BYTEFD_ADVICE_NO_HUGE_PAGE == 15, "advice");
_Static_assert(BYTEFD_ADVICE_DONT_DUMP == 16 && BYTEFD_ADVICE_DO_DUMP == 17, "advice");
_Static_assert(BYTEFD_ADVICE_WIPE_ON_FORK == 18 && BYTEFD_ADVICE_KEEP_ON_FORK == 19, "advice");
_Static_assert(BYTEFD_ADVICE_COLD == 20 && BYTEFD_ADVICE_PAGE_OUT == 21, "advice");
_Static_assert(BYTEFD_ADVICE_POPULATE_READ == 22 && BYTEFD_ADVICE_POPULATE_WRITE == 23, "advice");
_Static_assert(BYTEFD_ADVICE_DONT_NEED_LOCKED == 24 && BYTEFD_ADVICE_COLLAPSE == 25, "advice");
_Static_assert(BYTEFD_ADVICE_HARDWARE_POISON == 100 && BYTEFD_ADVICE_SOFT_OFFLINE == 101, "advice");
_Static_assert(BYTEFD_ADVICE_GUARD_INSTALL == 102 && BYTEFD_ADVICE_GUARD_REMOVE == 103, "advice");
_Static_assert(BYTEFD_ADVICE_LOSE_DATA == 0x10000, "advice");

/* The functions, with the types that programs were compiled with. */
static int (*const wrap_buffer_type)(const void *, size_t, const bytefd_wrap_options *, bytefd_error *) =
    shm_wrap_buffer;
static int (*const wrap_iov_type)(const struct iovec *, size_t, const bytefd_wrap_options *, bytefd_error *) =
    bytefd_wrap_iov;
static int (*const reopen_type)(int, bytefd_error *) = bytefd_reopen;
static int (*const path_type)(int, char *, size_t, bytefd_error *) = bytefd_path;
static int (*const scan_type)(const void *, size_t, int (*)(int, void *), void *, const bytefd_wrap_options *,
                              bytefd_error *) = scan_bytes;
static int (*const scan_begin_type)(const void *, size_t, const bytefd_wrap_options *, bytefd_scan **,
                                    bytefd_error *) = bytefd_scan_begin;
static int (*const scan_end_type)(bytefd_scan *) = bytefd_scan_end;
static int (*const pool_create_type)(size_t, bytefd_pool **, bytefd_error *) = bytefd_pool_create;
static void (*const pool_destroy_type)(bytefd_pool *) = bytefd_pool_destroy;
static int (*const pool_trim_type)(const bytefd_pool *, size_t, bytefd_error *) = bytefd_pool_trim;
static int (*const pool_stats_type)(const bytefd_pool *, bytefd_pool_counts *, bytefd_error *) = bytefd_pool_stats;
static int (*const host_report_type)(char *, size_t, bytefd_error *) = bytefd_host_report;
static int (*const map_type)(const char *, const bytefd_map_options *, bytefd_map **, bytefd_error *) = map_file;
static int (*const map_fd_type)(int, const bytefd_map_options *, bytefd_map **, bytefd_error *) = bytefd_map_fd;
static int (*const map_memory_type)(size_t, const bytefd_map_options *, bytefd_map **, bytefd_error *) =
    bytefd_map_memory;
static int (*const map_descriptor_type)(const bytefd_map *, bytefd_error *) = bytefd_map_descriptor;
static void *(*const map_data_type)(const bytefd_map *) = bytefd_map_data;
static size_t (*const map_length_type)(const bytefd_map *) = bytefd_map_length;
static int (*const map_flush_type)(const bytefd_map *, size_t, size_t, uint32_t, bytefd_error *) = bytefd_map_flush;
static int (*const map_close_type)(bytefd_map *) = bytefd_map_close;
static int (*const map_advise_type)(const bytefd_map *, size_t, size_t, uint32_t, bytefd_error *) = bytefd_map_advise;
static int (*const map_lock_type)(const bytefd_map *, size_t, size_t, bytefd_error *) = bytefd_map_lock;
static int (*const map_unlock_type)(const bytefd_map *, size_t, size_t, bytefd_error *) = bytefd_map_unlock;
static int (*const map_protect_type)(const bytefd_map *, size_t, size_t, uint32_t, bytefd_error *) =
    bytefd_map_protect;
static int (*const map_prefetch_type)(const bytefd_map *, size_t, size_t, bytefd_error *) = bytefd_map_prefetch;
static int (*const map_unmap_type)(bytefd_map *, size_t, size_t, bytefd_error *) = bytefd_map_unmap;
static int (*const map_read_type)(const bytefd_map *, size_t, void *, size_t, size_t *, bytefd_error *) =
    bytefd_map_read;
static int (*const map_write_type)(const bytefd_map *, size_t, const void *, size_t, size_t *, bytefd_error *) =
    bytefd_map_write;
static int (*const map_check_type)(const bytefd_map *, bytefd_error *) = bytefd_map_check;
static int (*const map_resize_type)(bytefd_map *, size_t, bytefd_error *) = bytefd_map_resize;
static int (*const map_seal_type)(bytefd_map *, bytefd_error *) = bytefd_map_seal;
static int (*const adopt_type)(void *, size_t, bytefd_error *) = bytefd_adopt;

static void every_function_is_there(void)
{
    CHECK(wrap_buffer_type && wrap_iov_type && reopen_type && path_type);
    CHECK(scan_type && scan_begin_type && scan_end_type);
    CHECK(pool_create_type && pool_destroy_type && pool_trim_type && pool_stats_type && host_report_type);
    CHECK(map_type && map_fd_type && map_memory_type && map_descriptor_type);
    CHECK(map_data_type && map_length_type && map_flush_type && map_close_type);
    CHECK(map_advise_type && map_lock_type && map_unlock_type && map_protect_type && map_prefetch_type);
    CHECK(map_unmap_type && map_read_type && map_write_type && map_check_type && map_resize_type && map_seal_type);
    CHECK(adopt_type != NULL);
}

static void the_init_macros_are_all_defaults(void)
{
    bytefd_wrap_options wrap = BYTEFD_WRAP_OPTIONS_INIT;
    CHECK(wrap.size == sizeof wrap && wrap.name == NULL && wrap.pool == NULL);
    CHECK(wrap.flags == 0 && wrap.backend == 0 && wrap.mode == 0);
    bytefd_map_options map = BYTEFD_MAP_OPTIONS_INIT;
    CHECK(map.size == sizeof map && map.offset == 0 && map.length == 0 && map.file_size == 0);
    CHECK(map.access == 0 && map.flags == 0 && map.mode == 0 && map.reserve == 0);
}

static const struct test layout_tests[] = {
    TEST(every_function_is_there),
    TEST(the_init_macros_are_all_defaults),
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    const struct test_group groups[] = {
        {"layout", layout_tests}, {"wrap", wrap_tests}, {"options", option_tests}, {"scan", scan_tests},
        {"pool", pool_tests}, {"adopt", adopt_tests}, {"process", process_tests}, {"guard", guard_tests},
        {"map", map_tests}, {"map_source", map_source_tests}, {"map_memory", map_memory_tests},
        {"map_range", map_range_tests}, {"map_page", map_page_tests}, {"map_content", map_content_tests},
        {"map_seal", map_seal_tests}, {"map_limit", map_limit_tests}, {"host", host_tests},
        {NULL, NULL},
    };
    return run_tests(groups, argv + (argc > 0));
}
