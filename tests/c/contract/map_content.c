/* The content of a map, copied out and in, and its length. Lost pages are in guard.c, limits in map_limit.c. */
#define _GNU_SOURCE

#include "maps.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void any_range_of_a_map_can_be_copied(void)
{
    size_t page = page_size(), size = 2 * page + 10, copied;
    unsigned char *bytes = pattern(size, 6), *other = pattern(size, 7), *buffer = malloc(size);
    size_t offsets[] = {0, 1, page - 1, page, size - 1, size};
    for (uint32_t guard = 0; guard <= BYTEFD_MAP_GUARD; guard += BYTEFD_MAP_GUARD) {
        bytefd_map *map = map_new_file(bytes, size, BYTEFD_MAP_WRITE, guard);
        for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
            size_t at = offsets[i], rest = size - at;
            size_t lengths[] = {0, rest > 0, rest / 2, rest};
            for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
                size_t length = lengths[j];
                memset(buffer, 0, size);
                copied = 77;
                CHECK_EQUAL(SUCCEEDS(bytefd_map_read(map, at, buffer, length, &copied, &error)), 0);
                CHECK(copied == length && memcmp(buffer, bytes + at, length) == 0);
                CHECK(is_zero(buffer + length, size - length));

                copied = 77;
                CHECK_EQUAL(SUCCEEDS(bytefd_map_write(map, at, other + at, length, &copied, &error)), 0);
                CHECK_EQUAL(copied, length);
                memcpy(buffer, bytes, size);
                memcpy(buffer + at, other + at, length);
                CHECK(map_holds(map, buffer, size));
                SUCCEEDS(bytefd_map_write(map, at, bytes + at, length, &copied, &error));
            }
        }
        /* No bytes need no buffer. */
        SUCCEEDS(bytefd_map_read(map, size, NULL, 0, &copied, &error));
        CHECK_EQUAL(copied, 0);
        SUCCEEDS(bytefd_map_write(map, 0, NULL, 0, &copied, &error));
        SUCCEEDS(bytefd_map_check(map, &error));
        bytefd_map_close(map);
        CHECK(file_holds("file", bytes, size));
        unlink("file");
    }
    free(bytes);
    free(other);
    free(buffer);
}

static void what_cannot_be_copied_is_refused(void)
{
    char buffer[16] = "untouched";
    size_t copied = 77;
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    size_t outside[][2] = {
        {0, 6}, {5, 1}, {6, 0}, {SIZE_MAX, 0}, {1, SIZE_MAX}, {SIZE_MAX, SIZE_MAX}, {3, SIZE_MAX - 2},
    };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        size_t offset = outside[i][0], length = outside[i][1];
        FAILS(bytefd_map_read(map, offset, buffer, length, &copied, &error), EINVAL, "range");
        FAILS(bytefd_map_write(map, offset, buffer, length, &copied, &error), EINVAL, "range");
    }
    FAILS(bytefd_map_read(map, 0, NULL, 1, &copied, &error), EINVAL, "buf");
    FAILS(bytefd_map_write(map, 0, NULL, 1, &copied, &error), EINVAL, "buf");
    FAILS(bytefd_map_read(map, 0, buffer, 1, NULL, &error), EINVAL, "copied");
    FAILS(bytefd_map_write(map, 0, buffer, 1, NULL, &error), EINVAL, "copied");
    FAILS(bytefd_map_read(NULL, 0, buffer, 0, &copied, &error), EINVAL, "map");
    FAILS(bytefd_map_write(NULL, 0, buffer, 0, &copied, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_read(NULL, 0, buffer, 0, &copied, NULL), -EINVAL);
    CHECK_EQUAL(bytefd_map_write(NULL, 0, buffer, 0, &copied, NULL), -EINVAL);
    CHECK(map_holds(map, "hello", 5));

    /* What is protected is no signal either. */
    SUCCEEDS(bytefd_map_protect(map, 0, 0, BYTEFD_PROTECTION_READ, &error));
    FAILS(bytefd_map_write(map, 0, "J", 1, &copied, &error), EIO, "write");
    bytefd_map_close(map);

    map = map_it("file", NULL);
    FAILS(bytefd_map_write(map, 0, "J", 1, &copied, &error), EACCES, "write");
    CHECK(copied == 77 && strcmp(buffer, "untouched") == 0);
    bytefd_map_close(map);
    CHECK(file_holds("file", "hello", 5));
    unlink("file");
}

static void a_file_is_resized_with_its_map(void)
{
    size_t page = page_size();
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    /* What is stored behind the end does not become content. */
    memset((char *)bytefd_map_data(map) + 5, 'x', 100);
    size_t lengths[] = {6, page, page + 1, 100 * page, 3 * page + 10};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CHECK_EQUAL(SUCCEEDS(bytefd_map_resize(map, lengths[i], &error)), 0);
        CHECK_EQUAL(bytefd_map_length(map), lengths[i]);
        CHECK_EQUAL(size_of("file"), lengths[i]);
        char *data = bytefd_map_data(map);
        CHECK(memcmp(data, "hello", 5) == 0 && is_zero(data + 5, lengths[i] - 5));
        data[lengths[i] - 1] = 'y';
        data[lengths[i] - 1] = 0;
    }
    SUCCEEDS(bytefd_map_resize(map, 2, &error));
    CHECK(map_holds(map, "he", 2) && file_holds("file", "he", 2));
    SUCCEEDS(bytefd_map_resize(map, 5, &error));
    CHECK(map_holds(map, "he\0\0", 5) && file_holds("file", "he\0\0", 5));
    SUCCEEDS(bytefd_map_resize(map, 5, &error));
    SUCCEEDS(bytefd_map_resize(map, 0, &error));
    CHECK(bytefd_map_data(map) != NULL && bytefd_map_length(map) == 0);
    CHECK_EQUAL(size_of("file"), 0);
    SUCCEEDS(bytefd_map_resize(map, 1, &error));
    CHECK(map_holds(map, "", 1));
    bytefd_map_close(map);
    unlink("file");
}

static void what_was_stored_behind_the_end_reads_zero(void)
{
    for (uint32_t access = BYTEFD_MAP_WRITE; access <= BYTEFD_MAP_PRIVATE; access++) {
        if (access == BYTEFD_MAP_WRITE && !host_has_memfd())
            continue;
        bytefd_map *map = map_memory(5, access, 0);
        memset(bytefd_map_data(map), 'x', page_size());
        SUCCEEDS(bytefd_map_resize(map, page_size() + 1, &error));
        char *data = bytefd_map_data(map);
        CHECK(memcmp(data, "xxxxx", 5) == 0 && is_zero(data + 5, page_size() - 4));
        bytefd_map_close(map);
    }
}

static void a_file_that_goes_on_behind_the_map_keeps_its_size(void)
{
    bytefd_map_options options = with_access(BYTEFD_MAP_WRITE, 0);
    options.offset = 1;
    options.length = 3;
    make_file("file", "hello", 5);
    bytefd_map *map = map_it("file", &options);
    SUCCEEDS(bytefd_map_resize(map, 2, &error));
    CHECK(map_holds(map, "el", 2) && file_holds("file", "hello", 5));
    SUCCEEDS(bytefd_map_resize(map, 4, &error));
    CHECK(map_holds(map, "ello", 4) && file_holds("file", "hello", 5));
    SUCCEEDS(bytefd_map_resize(map, 5, &error));
    CHECK(map_holds(map, "ello", 5) && file_holds("file", "hello", 6));
    bytefd_map_close(map);
    unlink("file");
}

static void a_map_stays_where_it_is_within_its_reserve(void)
{
    for (uint32_t access = BYTEFD_MAP_WRITE; access <= BYTEFD_MAP_PRIVATE; access++) {
        if (access == BYTEFD_MAP_WRITE && !host_has_memfd())
            continue;
        bytefd_map_options options = with_access(access, 0);
        options.reserve = 1 << 24;
        bytefd_map *map;
        SUCCEEDS(bytefd_map_memory(0, &options, &map, &error));
        char *data = bytefd_map_data(map);
        for (size_t length = 1; length <= options.reserve; length *= 2) {
            SUCCEEDS(bytefd_map_resize(map, length, &error));
            CHECK(bytefd_map_data(map) == data && data[length - 1] == 0);
            data[length - 1] = 'x';
        }
        SUCCEEDS(bytefd_map_resize(map, 1, &error));
        SUCCEEDS(bytefd_map_resize(map, 1000, &error));
        CHECK(bytefd_map_data(map) == data && data[0] == 'x' && is_zero(data + 1, 999));
        /* Beyond it, it may move. */
        SUCCEEDS(bytefd_map_resize(map, 3 * options.reserve, &error));
        data = bytefd_map_data(map);
        CHECK(data[0] == 'x' && data[3 * options.reserve - 1] == 0);
        bytefd_map_close(map);
    }
}

static void a_map_that_is_not_for_writing_is_not_resized(void)
{
    make_file("file", "hello", 5);
    for (uint32_t access = BYTEFD_MAP_READ; access <= BYTEFD_MAP_PRIVATE; access += BYTEFD_MAP_PRIVATE) {
        bytefd_map_options options = with_access(access, 0);
        bytefd_map *map = map_it("file", &options);
        FAILS(bytefd_map_resize(map, 10, &error), EINVAL, "resize");
        FAILS(bytefd_map_resize(map, 1, &error), EINVAL, "resize");
        CHECK(map_holds(map, "hello", 5));
        bytefd_map_close(map);
    }
    CHECK(file_holds("file", "hello", 5));
    FAILS(bytefd_map_resize(NULL, 1, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_resize(NULL, 1, NULL), -EINVAL);
    unlink("file");
}

static void a_map_that_cannot_be_resized_stays_as_it_is(void)
{
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    FAILS(bytefd_map_resize(map, (size_t)PTRDIFF_MAX + 1, &error), EINVAL, "resize");
    FAILS(bytefd_map_resize(map, SIZE_MAX, &error), EINVAL, "resize");
    CHECK(map_holds(map, "hello", 5) && file_holds("file", "hello", 5));
    bytefd_map_close(map);
    unlink("file");

    if (!host_has_memfd())
        return;
    map = map_memory(5, BYTEFD_MAP_WRITE, 0);
    memcpy(bytefd_map_data(map), "hello", 5);
    CHECK_EQUAL(fcntl(bytefd_map_descriptor(map, NULL), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
    FAILS(bytefd_map_resize(map, 6, &error), EPERM, NULL);
    FAILS(bytefd_map_resize(map, 4, &error), EPERM, NULL);
    CHECK(map_holds(map, "hello", 5));
    bytefd_map_close(map);
}

const struct test map_content_tests[] = {
    TEST(any_range_of_a_map_can_be_copied),
    TEST(what_cannot_be_copied_is_refused),
    TEST(a_file_is_resized_with_its_map),
    TEST(what_was_stored_behind_the_end_reads_zero),
    TEST(a_file_that_goes_on_behind_the_map_keeps_its_size),
    TEST(a_map_stays_where_it_is_within_its_reserve),
    TEST(a_map_that_is_not_for_writing_is_not_resized),
    TEST(a_map_that_cannot_be_resized_stays_as_it_is),
    {NULL, NULL},
};
