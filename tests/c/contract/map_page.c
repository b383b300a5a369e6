/* The pages of a map: locked, protected, read in, unmapped. */
#define _GNU_SOURCE

#include "maps.h"

#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Pages that this process has locked. */
static size_t locked_pages(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    size_t kilobytes = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        sscanf(line, "VmLck: %zu", &kilobytes);
    if (status != NULL)
        fclose(status);
    return kilobytes * 1024 / page_size();
}

static void any_range_of_a_map_can_be_locked(void)
{
    size_t page = page_size(), before = locked_pages();
    bytefd_map *map = map_memory(4 * page, BYTEFD_MAP_PRIVATE, 0);
    for (int i = 0; i < 2; i++) {
        SUCCEEDS(bytefd_map_lock(map, page - 1, 2, &error));
        CHECK_EQUAL(locked_pages(), before + 2);
    }
    unsigned char resident[4] = {0};
    CHECK_EQUAL(mincore(bytefd_map_data(map), 4 * page, resident), 0);
    CHECK(resident[0] & resident[1] & 1);
    SUCCEEDS(bytefd_map_unlock(map, page - 1, 1, &error));
    CHECK_EQUAL(locked_pages(), before + 1);
    SUCCEEDS(bytefd_map_lock(map, 3 * page, 0, &error));
    CHECK_EQUAL(locked_pages(), before + 2);
    SUCCEEDS(bytefd_map_unlock(map, 0, 0, &error));
    CHECK_EQUAL(locked_pages(), before);
    bytefd_map_close(map);

    bytefd_map_options options = with_access(BYTEFD_MAP_READ, BYTEFD_MAP_BEYOND_EOF);
    options.length = 2 * page;
    make_file("file", "hello", 5);
    map = map_it("file", &options);
    FAILS(bytefd_map_lock(map, 0, 0, &error), ENOMEM, "mlock");
    bytefd_map_close(map);
    unlink("file");
}

static void one_page_may_be_locked(void)
{
    size_t page = page_size();
    if (geteuid() == 0) {
        CHECK_EQUAL(setgroups(0, NULL), 0);
        CHECK_EQUAL(setresgid(65534, 65534, 65534), 0);
        CHECK_EQUAL(setresuid(65534, 65534, 65534), 0);
    }
    bytefd_map *map = map_memory(2 * page, BYTEFD_MAP_PRIVATE, 0);
    CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){page, page}), 0);
    FAILS(bytefd_map_lock(map, 0, 0, &error), ENOMEM, "mlock");
    SUCCEEDS(bytefd_map_lock(map, page, 1, &error));
    SUCCEEDS(bytefd_map_unlock(map, page, 1, &error));
    CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}), 0);
    FAILS(bytefd_map_lock(map, 0, 1, &error), EPERM, "mlock");
    bytefd_map_close(map);
}

static void no_more_is_locked_than_allowed(void)
{
    IN_CHILD(one_page_may_be_locked);
}

static void pages_are_protected_as_asked(void)
{
    enum { READ_WRITE = BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_WRITE };
    size_t page = page_size();
    bytefd_map *map = map_memory(3 * page, BYTEFD_MAP_PRIVATE, 0);
    char *data = bytefd_map_data(map), *middle = data + page;
    SUCCEEDS(bytefd_map_protect(map, page + 1, 1, BYTEFD_PROTECTION_READ, &error));
    CHECK_EQUAL(signal_of_load(middle), 0);
    CHECK_EQUAL(signal_of_store(middle), SIGSEGV);
    CHECK_EQUAL(signal_of_store(middle - 1), 0);
    CHECK_EQUAL(signal_of_store(middle + page), 0);
    SUCCEEDS(bytefd_map_protect(map, 0, 0, BYTEFD_PROTECTION_NONE, &error));
    CHECK_EQUAL(signal_of_load(data), SIGSEGV);
    SUCCEEDS(bytefd_map_protect(map, 0, 0, READ_WRITE, &error));
    CHECK_EQUAL(signal_of_store(middle), 0);
    bytefd_map_close(map);
}

static void protection_is_no_more_than_the_map_was_made_for(void)
{
    enum { READ = BYTEFD_PROTECTION_READ, WRITE = BYTEFD_PROTECTION_WRITE, EXECUTE = BYTEFD_PROTECTION_EXECUTE };
    static const struct {
        uint32_t access, flags, protection;
        int errno_value;
        const char *shown;
    } cases[] = {
        {BYTEFD_MAP_READ, 0, READ | WRITE, EACCES, "r--s"},
        {BYTEFD_MAP_READ, 0, READ | EXECUTE, EACCES, "r--s"},
        {BYTEFD_MAP_WRITE, 0, READ | WRITE | EXECUTE, EACCES, "rw-s"},
        {BYTEFD_MAP_PRIVATE, 0, READ | EXECUTE, EACCES, "rw-p"},
        {BYTEFD_MAP_READ, BYTEFD_MAP_EXECUTE, READ | WRITE | EXECUTE, EACCES, "r-xs"},
        {BYTEFD_MAP_READ, BYTEFD_MAP_EXECUTE, READ, 0, "r--s"},
        {BYTEFD_MAP_READ, BYTEFD_MAP_EXECUTE, READ | EXECUTE, 0, "r-xs"},
        {BYTEFD_MAP_PRIVATE, BYTEFD_MAP_EXECUTE, READ | WRITE | EXECUTE, 0, "rwxp"},
        {BYTEFD_MAP_WRITE, 0, READ, 0, "r--s"},
        {BYTEFD_MAP_WRITE, 0, BYTEFD_PROTECTION_NONE, 0, "---s"},
        /* Linux lets nobody write or execute what cannot be read. */
        {BYTEFD_MAP_WRITE, 0, WRITE, EINVAL, "rw-s"},
        {BYTEFD_MAP_WRITE, BYTEFD_MAP_EXECUTE, EXECUTE, EINVAL, "rwxs"},
        {BYTEFD_MAP_WRITE, BYTEFD_MAP_EXECUTE, WRITE | EXECUTE, EINVAL, "rwxs"},
        {BYTEFD_MAP_WRITE, 0, 8, EINVAL, "rw-s"},
        {BYTEFD_MAP_WRITE, 0, READ | 1u << 31, EINVAL, "rw-s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytefd_map *map = map_new_file("hello", 5, cases[i].access, cases[i].flags);
        char shown[5];
        if (cases[i].errno_value != 0)
            FAILS(bytefd_map_protect(map, 0, 0, cases[i].protection, &error), cases[i].errno_value, "protection");
        else
            SUCCEEDS(bytefd_map_protect(map, 0, 0, cases[i].protection, &error));
        protection_at(bytefd_map_data(map), shown);
        CHECK(strcmp(shown, cases[i].shown) == 0);
        bytefd_map_close(map);
        unlink("file");
    }
}

static void what_is_prefetched_is_in_memory(void)
{
    size_t page = page_size();
    unsigned char resident[4] = {0};
    bytefd_map *map = map_memory(4 * page, BYTEFD_MAP_PRIVATE, 0);
    SUCCEEDS(bytefd_map_prefetch(map, page, page + 1, &error));
    CHECK_EQUAL(mincore(bytefd_map_data(map), 4 * page, resident), 0);
    CHECK(resident[1] & resident[2] & 1);
    bytefd_map_close(map);

    for (uint32_t guard = 0; guard <= BYTEFD_MAP_GUARD; guard += BYTEFD_MAP_GUARD) {
        unsigned char *bytes = pattern(2 * page, 5);
        map = map_new_file(bytes, 2 * page, BYTEFD_MAP_READ, guard);
        SUCCEEDS(bytefd_map_prefetch(map, 0, 0, &error));
        truncate_elsewhere("file", page);
        SUCCEEDS(bytefd_map_prefetch(map, 0, page, &error));
        FAILS(bytefd_map_prefetch(map, 0, 0, &error), EIO, NULL);
        FAILS(bytefd_map_prefetch(map, page, 1, &error), EIO, NULL);
        bytefd_map_close(map);
        unlink("file");
        free(bytes);
    }
}

static void whole_pages_of_a_range_are_unmapped(void)
{
    size_t page = page_size(), copied = 77;
    bytefd_map *map = map_memory(4 * page, BYTEFD_MAP_PRIVATE, 0);
    char *data = bytefd_map_data(map), byte;
    memset(data, 'x', 4 * page);
    /* Not one whole page. */
    SUCCEEDS(bytefd_map_unmap(map, 1, page, &error));
    CHECK_EQUAL(signal_of_load(data + page), 0);
    SUCCEEDS(bytefd_map_resize(map, 3 * page, &error));

    SUCCEEDS(bytefd_map_unmap(map, 1, 2 * page, &error));
    CHECK_EQUAL(bytefd_map_length(map), 3 * page);
    CHECK(bytefd_map_data(map) == data && data[page - 1] == 'x' && data[2 * page] == 'x');
    CHECK_EQUAL(signal_of_load(data + page), SIGSEGV);
    CHECK_EQUAL(signal_of_load(data + 2 * page - 1), SIGSEGV);

    FAILS(bytefd_map_read(map, page, &byte, 1, &copied, &error), EINVAL, "range");
    FAILS(bytefd_map_write(map, 2 * page - 1, &byte, 1, &copied, &error), EINVAL, "range");
    FAILS(bytefd_map_lock(map, 0, 0, &error), EINVAL, "range");
    FAILS(bytefd_map_advise(map, page - 1, 2, BYTEFD_ADVICE_NORMAL, &error), EINVAL, "range");
    FAILS(bytefd_map_protect(map, page, 1, BYTEFD_PROTECTION_READ, &error), EINVAL, "range");
    FAILS(bytefd_map_prefetch(map, page, 1, &error), EINVAL, "range");
    FAILS(bytefd_map_resize(map, 2 * page, &error), EINVAL, "resize");
    FAILS(bytefd_map_resize(map, 5 * page, &error), EINVAL, "resize");
    CHECK_EQUAL(copied, 77);
    SUCCEEDS(bytefd_map_read(map, 2 * page, &byte, 1, &copied, &error));
    CHECK(copied == 1 && byte == 'x');

    /* What others put there is not the map's, and stays. */
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    char *other = mmap(data + page, page, PROT_READ | PROT_WRITE, flags, -1, 0);
    CHECK(other == data + page);
    strcpy(other, "other");
    SUCCEEDS(bytefd_map_unmap(map, 0, 0, &error));
    CHECK_EQUAL(bytefd_map_close(map), 0);
    CHECK(strcmp(other, "other") == 0);
    munmap(other, page);
}

static void memory_with_unmapped_parts_is_not_sealed(void)
{
    if (!host_has_memfd())
        return;
    bytefd_map *map = map_memory(2 * page_size(), BYTEFD_MAP_WRITE, 0);
    SUCCEEDS(bytefd_map_unmap(map, page_size(), 0, &error));
    FAILS(bytefd_map_seal(map, &error), EINVAL, "seal");
    CHECK_EQUAL(signal_of_store(bytefd_map_data(map)), 0);
    bytefd_map_close(map);
}

const struct test map_page_tests[] = {
    TEST(any_range_of_a_map_can_be_locked),
    TEST(no_more_is_locked_than_allowed),
    TEST(pages_are_protected_as_asked),
    TEST(protection_is_no_more_than_the_map_was_made_for),
    TEST(what_is_prefetched_is_in_memory),
    TEST(whole_pages_of_a_range_are_unmapped),
    TEST(memory_with_unmapped_parts_is_not_sealed),
    {NULL, NULL},
};
