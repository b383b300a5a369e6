/* The ranges that are given to the functions on parts of a map; flushing and advice. The rest is in map_page.c. */
#define _GNU_SOURCE

#include "maps.h"

#include <stdlib.h>
#include <unistd.h>

/* All of them, with what must not matter to the range. */
static int flush(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_flush(map, offset, length, BYTEFD_FLUSH_ASYNC, &error);
}

static int advise(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_advise(map, offset, length, BYTEFD_ADVICE_NORMAL, &error);
}

static int advise_losing(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_advise(map, offset, length, BYTEFD_ADVICE_DONT_NEED | BYTEFD_ADVICE_LOSE_DATA, &error);
}

static int lock(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_lock(map, offset, length, &error);
}

static int unlock(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_unlock(map, offset, length, &error);
}

static int protect(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_protect(map, offset, length, BYTEFD_PROTECTION_READ, &error);
}

static int prefetch(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_prefetch(map, offset, length, &error);
}

/* Last, because it leaves nothing. */
static int unmap(bytefd_map *map, size_t offset, size_t length)
{
    return bytefd_map_unmap(map, offset, length, &error);
}

static int (*const operations[])(bytefd_map *, size_t, size_t) = {
    flush, advise, lock, unlock, advise_losing, protect, prefetch, unmap,
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static void every_operation_takes_any_range_and_nothing_outside(void)
{
    size_t size = 2 * page_size() + 10;
    unsigned char *bytes = pattern(size + 3, 3);
    make_file("file", bytes, size + 3);
    bytefd_map_options options = with_access(BYTEFD_MAP_WRITE, 0);
    options.offset = 3;
    bytefd_map *map = map_it("file", &options);
    size_t offsets[] = {0, 1, page_size() - 3, page_size(), size - 1, size};
    for (size_t i = 0; i < OPERATIONS; i++) {
        int (*operation)(bytefd_map *, size_t, size_t) = operations[i];
        for (size_t j = 0; j < sizeof offsets / sizeof *offsets; j++) {
            size_t offset = offsets[j], rest = size - offset;
            FAILS(operation(map, offset, rest + 1), EINVAL, "range");
            FAILS(operation(map, offset, SIZE_MAX - offset), EINVAL, "range");
            FAILS(operation(map, offset + 1, SIZE_MAX), EINVAL, "range");
            if (operation == unmap)
                continue;
            CHECK_EQUAL(SUCCEEDS(operation(map, offset, 0)), 0);
            CHECK_EQUAL(SUCCEEDS(operation(map, offset, rest)), 0);
            CHECK_EQUAL(SUCCEEDS(operation(map, offset, rest / 2)), 0);
        }
        FAILS(operation(map, size + 1, 0), EINVAL, "range");
        FAILS(operation(map, SIZE_MAX, 0), EINVAL, "range");
        FAILS(operation(map, SIZE_MAX, SIZE_MAX), EINVAL, "range");
        FAILS(operation(NULL, 0, 0), EINVAL, "map");
        CHECK(map_holds(map, bytes + 3, size));
    }
    CHECK_EQUAL(SUCCEEDS(unmap(map, 0, 0)), 0);
    CHECK_EQUAL(bytefd_map_length(map), size);
    bytefd_map_close(map);
    CHECK(file_holds("file", bytes, size + 3));
    unlink("file");

    CHECK_EQUAL(bytefd_map_flush(NULL, 0, 0, 0, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_advise(NULL, 0, 0, 0, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_lock(NULL, 0, 0, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_unlock(NULL, 0, 0, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_protect(NULL, 0, 0, 0, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_prefetch(NULL, 0, 0, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_unmap(NULL, 0, 0, NULL), -EINVAL);
    free(bytes);
}

static void an_empty_map_has_the_empty_range(void)
{
    bytefd_map *map = map_memory(0, BYTEFD_MAP_PRIVATE, 0);
    /* Private memory has no file to flush to. */
    for (size_t i = 1; i < OPERATIONS; i++) {
        SUCCEEDS(operations[i](map, 0, 0));
        FAILS(operations[i](map, 0, 1), EINVAL, "range");
    }
    bytefd_map_close(map);
}

static void any_range_of_a_map_can_be_flushed(void)
{
    size_t page = page_size(), size = 2 * page + 10;
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    options.file_size = 3 + size;
    options.offset = 3;
    bytefd_map *map = map_it("file", &options);
    size_t offsets[] = {0, 1, page - 3, page, size - 1, size};
    memset(bytefd_map_data(map), 'x', size);
    for (uint32_t how = BYTEFD_FLUSH_SYNC; how <= (BYTEFD_FLUSH_ASYNC | BYTEFD_FLUSH_INVALIDATE); how++) {
        for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
            SUCCEEDS(bytefd_map_flush(map, offsets[i], 0, how, &error));
            SUCCEEDS(bytefd_map_flush(map, offsets[i], size - offsets[i], how, &error));
        }
    }
    FAILS(bytefd_map_flush(map, 0, 0, 4, &error), EINVAL, "how");
    FAILS(bytefd_map_flush(map, 0, 0, UINT32_MAX, &error), EINVAL, "how");
    bytefd_map_close(map);
    unlink("file");
}

static void locked_pages_are_not_invalidated(void)
{
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, BYTEFD_MAP_LOCK);
    for (uint32_t how = BYTEFD_FLUSH_SYNC; how <= BYTEFD_FLUSH_ASYNC; how++) {
        SUCCEEDS(bytefd_map_flush(map, 0, 0, how, &error));
        FAILS(bytefd_map_flush(map, 0, 0, how | BYTEFD_FLUSH_INVALIDATE, &error), EBUSY, "msync");
    }
    SUCCEEDS(unlock(map, 0, 0));
    SUCCEEDS(bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_INVALIDATE, &error));
    bytefd_map_close(map);
    unlink("file");
}

static void advice_that_keeps_content_is_given(void)
{
    static const uint32_t kept[] = {
        BYTEFD_ADVICE_RANDOM, BYTEFD_ADVICE_SEQUENTIAL, BYTEFD_ADVICE_NORMAL, BYTEFD_ADVICE_WILL_NEED,
        BYTEFD_ADVICE_DONT_FORK, BYTEFD_ADVICE_DO_FORK, BYTEFD_ADVICE_DONT_DUMP, BYTEFD_ADVICE_DO_DUMP,
        BYTEFD_ADVICE_WIPE_ON_FORK, BYTEFD_ADVICE_KEEP_ON_FORK,
    };
    /* What a kernel may not know, or not have. */
    static const uint32_t newer[] = {
        BYTEFD_ADVICE_MERGEABLE, BYTEFD_ADVICE_UNMERGEABLE, BYTEFD_ADVICE_HUGE_PAGE, BYTEFD_ADVICE_NO_HUGE_PAGE,
        BYTEFD_ADVICE_COLD, BYTEFD_ADVICE_PAGE_OUT, BYTEFD_ADVICE_POPULATE_READ, BYTEFD_ADVICE_POPULATE_WRITE,
    };
    bytefd_map *map = map_memory(page_size() + 5, BYTEFD_MAP_PRIVATE, 0);
    memset(bytefd_map_data(map), 'x', page_size() + 5);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        CHECK_EQUAL(SUCCEEDS(bytefd_map_advise(map, 0, 0, kept[i], &error)), 0);
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++) {
        int status = bytefd_map_advise(map, 1, page_size(), newer[i], NULL);
        CHECK(status == 0 || status == -EOPNOTSUPP);
    }
    unsigned char *bytes = malloc(page_size() + 5);
    memset(bytes, 'x', page_size() + 5);
    CHECK(map_holds(map, bytes, page_size() + 5));
    free(bytes);

    static const uint32_t unknown[] = {5, 7, 26, 99, 104, 0x20000, BYTEFD_ADVICE_LOSE_DATA | 5, UINT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        FAILS(bytefd_map_advise(map, 0, 0, unknown[i], &error), EINVAL, "advice");
    bytefd_map_close(map);

    /* Not for this kind of memory. */
    map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    FAILS(bytefd_map_advise(map, 0, 0, BYTEFD_ADVICE_WIPE_ON_FORK, &error), EINVAL, "madvise");
    bytefd_map_close(map);
    unlink("file");
}

static void advice_loses_content_only_if_asked_and_only_whole_pages(void)
{
    static const uint32_t losing[] = {
        BYTEFD_ADVICE_FREE, BYTEFD_ADVICE_REMOVE, BYTEFD_ADVICE_HARDWARE_POISON, BYTEFD_ADVICE_GUARD_INSTALL,
        BYTEFD_ADVICE_DONT_NEED, BYTEFD_ADVICE_DONT_NEED_LOCKED,
    };
    size_t page = page_size(), size = 3 * page;
    unsigned char *bytes = pattern(size, 4), *less = malloc(size);
    bytefd_map *private = map_memory(size, BYTEFD_MAP_PRIVATE, 0);
    bytefd_map *shared = map_new_file(bytes, size, BYTEFD_MAP_WRITE, 0);
    memcpy(bytefd_map_data(private), bytes, size);
    for (size_t i = 0; i < sizeof losing / sizeof *losing; i++) {
        FAILS(bytefd_map_advise(private, 0, 0, losing[i], &error), EINVAL, "madvise");
        /* The last two lose nothing in shared maps: the file has it. */
        if (i < 4)
            FAILS(bytefd_map_advise(shared, 0, 0, losing[i], &error), EINVAL, "madvise");
    }
    SUCCEEDS(bytefd_map_advise(shared, 0, 0, BYTEFD_ADVICE_DONT_NEED, &error));
    CHECK(map_holds(private, bytes, size) && map_holds(shared, bytes, size));

    memcpy(less, bytes, size);
    memset(less + page, 0, page);
    SUCCEEDS(advise_losing(private, 1, size - 2));
    CHECK(map_holds(private, less, size));
    /* Not one whole page. */
    SUCCEEDS(advise_losing(private, 1, page));
    CHECK(map_holds(private, less, size));
    bytefd_map_close(private);
    bytefd_map_close(shared);
    unlink("file");

    if (host_has_memfd()) {
        shared = map_memory(size, BYTEFD_MAP_WRITE, 0);
        memcpy(bytefd_map_data(shared), bytes, size);
        uint32_t advice = BYTEFD_ADVICE_REMOVE | BYTEFD_ADVICE_LOSE_DATA;
        SUCCEEDS(bytefd_map_advise(shared, 1, size - 2, advice, &error));
        CHECK(map_holds(shared, less, size));
        CHECK(holds(bytefd_map_descriptor(shared, NULL), less, size));
        bytefd_map_close(shared);
    }
    free(bytes);
    free(less);
}

const struct test map_range_tests[] = {
    TEST(every_operation_takes_any_range_and_nothing_outside),
    TEST(an_empty_map_has_the_empty_range),
    TEST(any_range_of_a_map_can_be_flushed),
    TEST(locked_pages_are_not_invalidated),
    TEST(advice_that_keeps_content_is_given),
    TEST(advice_loses_content_only_if_asked_and_only_whole_pages),
    {NULL, NULL},
};
