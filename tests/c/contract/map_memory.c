/* What the memory of a map is to this process and its children. */
#define _GNU_SOURCE

#include "maps.h"

#include <sys/mman.h>
#include <unistd.h>

static void memory_is_protected_as_asked(void)
{
    static const struct {
        uint32_t access, flags;
        const char *protection;
    } cases[] = {
        {BYTEFD_MAP_READ, 0, "r--s"},
        {BYTEFD_MAP_WRITE, 0, "rw-s"},
        {BYTEFD_MAP_PRIVATE, 0, "rw-p"},
        {BYTEFD_MAP_READ, BYTEFD_MAP_EXECUTE, "r-xs"},
        {BYTEFD_MAP_READ, BYTEFD_MAP_POPULATE | BYTEFD_MAP_LOCK, "r--s"},
        {BYTEFD_MAP_PRIVATE, BYTEFD_MAP_NO_RESERVE | BYTEFD_MAP_POPULATE, "rw-p"},
    };
    make_file("file", "hello", 5);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char protection[5];
        bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
        options.access = cases[i].access;
        options.flags = cases[i].flags;
        bytefd_map *map = map_it("file", &options);
        protection_at(bytefd_map_data(map), protection);
        CHECK(strcmp(protection, cases[i].protection) == 0);
        CHECK(map_holds(map, "hello", 5));
        bytefd_map_close(map);
    }
    unlink("file");
}

static void a_locked_map_stays_in_memory(void)
{
    unsigned char resident = 0;
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    options.flags = BYTEFD_MAP_LOCK;
    make_file("file", "hello", 5);
    bytefd_map *map = map_it("file", &options);
    CHECK_EQUAL(mincore(bytefd_map_data(map), 5, &resident), 0);
    CHECK(resident & 1);
    bytefd_map_close(map);
    unlink("file");
}

static const void *inherited_data;

static void child_has_no_map(void)
{
    char protection[5];
    protection_at(inherited_data, protection);
    CHECK(protection[0] == 0);
}

static void child_has_the_map(void)
{
    CHECK(memcmp(inherited_data, "hello", 5) == 0);
}

static void children_have_the_map_unless_refused(void)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    make_file("file", "hello", 5);
    bytefd_map *map = map_it("file", &options);
    inherited_data = bytefd_map_data(map);
    IN_CHILD(child_has_the_map);
    bytefd_map_close(map);

    options.flags = BYTEFD_MAP_NO_FORK;
    map = map_it("file", &options);
    inherited_data = bytefd_map_data(map);
    IN_CHILD(child_has_no_map);
    bytefd_map_close(map);
    unlink("file");
}

static void child_finds_zeros(void)
{
    CHECK(is_zero(inherited_data, 5));
}

static void child_finds_and_changes_the_bytes(void)
{
    CHECK(memcmp(inherited_data, "hello", 5) == 0);
    memcpy((char *)inherited_data, "JELLO", 5);
}

static void children_share_shared_memory_and_copy_private_memory(void)
{
    static const struct {
        uint32_t access, flags;
        void (*child)(void);
        const char *after;
    } cases[] = {
        {BYTEFD_MAP_WRITE, 0, child_finds_and_changes_the_bytes, "JELLO"},
        {BYTEFD_MAP_PRIVATE, 0, child_finds_and_changes_the_bytes, "hello"},
        {BYTEFD_MAP_PRIVATE, BYTEFD_MAP_WIPE_ON_FORK, child_finds_zeros, "hello"},
        {BYTEFD_MAP_PRIVATE, BYTEFD_MAP_NO_FORK, child_has_no_map, "hello"},
    };
    for (size_t i = host_has_memfd() ? 0 : 1; i < sizeof cases / sizeof *cases; i++) {
        bytefd_map *map = map_memory(5, cases[i].access, cases[i].flags);
        memcpy(bytefd_map_data(map), "hello", 5);
        inherited_data = bytefd_map_data(map);
        IN_CHILD(cases[i].child);
        CHECK(map_holds(map, cases[i].after, 5));
        bytefd_map_close(map);
    }
}

const struct test map_memory_tests[] = {
    TEST(memory_is_protected_as_asked),
    TEST(a_locked_map_stays_in_memory),
    TEST(children_have_the_map_unless_refused),
    TEST(children_share_shared_memory_and_copy_private_memory),
    {NULL, NULL},
};
