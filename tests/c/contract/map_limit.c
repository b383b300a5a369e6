/*
 * What the kernel refuses to do with a map. Not under valgrind, which answers some of this itself and complains about
 * the buffers.
 */
#define _GNU_SOURCE

#include "maps.h"

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void memory_is_not_endless(void)
{
    bytefd_map_options private = with_access(BYTEFD_MAP_PRIVATE, 0);
    MAKES_NO_MAP(bytefd_map_memory(PTRDIFF_MAX, &private, &map, &error), ENOMEM, NULL);
    bytefd_map *map = map_memory(5, BYTEFD_MAP_PRIVATE, 0);
    memcpy(bytefd_map_data(map), "hello", 5);
    /* More than there is, or than there can be. */
    int status = bytefd_map_resize(map, PTRDIFF_MAX, NULL);
    CHECK(status == -ENOMEM || status == -EINVAL);
    CHECK(map_holds(map, "hello", 5));
    bytefd_map_close(map);

    /* A terabyte is a multiple of all sizes, and more than anybody reserves. */
    int fd = memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB);
    if (fd >= 0) {
        bytefd_map_options huge = with_access(BYTEFD_MAP_WRITE, BYTEFD_MAP_HUGE_PAGES);
        MAKES_NO_MAP(bytefd_map_memory(1, &huge, &map, &error), EINVAL, "length");
        MAKES_NO_MAP(bytefd_map_memory(0, &huge, &map, &error), EINVAL, "length");
        MAKES_NO_MAP(bytefd_map_memory((size_t)1 << 40, &huge, &map, &error), ENOMEM, NULL);
        close(fd);
    }
}

static void parts_that_differ_do_not_move(void)
{
    size_t page = page_size(), size = 3 * page;
    unsigned char *bytes = pattern(size, 8);
    bytefd_map *map = map_new_file(bytes, size, BYTEFD_MAP_WRITE, 0);
    SUCCEEDS(bytefd_map_protect(map, page, 1, BYTEFD_PROTECTION_READ, &error));
    FAILS(bytefd_map_resize(map, 100 * size, &error), EFAULT, "mremap");
    CHECK(map_holds(map, bytes, size) && file_holds("file", bytes, size));
    bytefd_map_close(map);
    unlink("file");
    free(bytes);
}

static void limits_of_this_process(void)
{
    if (geteuid() == 0) {
        CHECK_EQUAL(setgroups(0, NULL), 0);
        CHECK_EQUAL(setresgid(65534, 65534, 65534), 0);
        CHECK_EQUAL(setresuid(65534, 65534, 65534), 0);
    }
    size_t page = page_size();
    CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){page, page}), 0);
    bytefd_map *map = map_memory(5, BYTEFD_MAP_PRIVATE, BYTEFD_MAP_LOCK);
    FAILS(bytefd_map_resize(map, 2 * page, &error), EAGAIN, NULL);
    CHECK_EQUAL(bytefd_map_length(map), 5);
    bytefd_map_close(map);
}

static void a_file_that_may_not_grow(void)
{
    bytefd_map_options options = with_access(BYTEFD_MAP_WRITE, 0);
    bytefd_map *map = map_it("file", &options);
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}), 0);
    FAILS(bytefd_map_resize(map, 1001, &error), EFBIG, NULL);
    CHECK(map_holds(map, "hello", 5) && file_holds("file", "hello", 5));
    SUCCEEDS(bytefd_map_resize(map, 1000, &error));
    SUCCEEDS(bytefd_map_resize(map, 5, &error));
    bytefd_map_close(map);
}

static void limits_count_when_a_map_grows(void)
{
    IN_CHILD(limits_of_this_process);
    make_file("file", "hello", 5);
    IN_CHILD(a_file_that_may_not_grow);
    unlink("file");
}

static bytefd_map *copied_map;
static char *forbidden;

static void copy_to_forbidden(void)
{
    size_t copied;
    bytefd_map_read(copied_map, 0, forbidden, 5, &copied, NULL);
}

static void copy_from_forbidden(void)
{
    size_t copied;
    bytefd_map_write(copied_map, 0, forbidden, 5, &copied, NULL);
}

static void a_buffer_that_is_not_there_is_an_error(void)
{
    size_t page = page_size(), copied = 77;
    forbidden = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    FAILS(bytefd_map_read(map, 0, forbidden, 5, &copied, &error), EFAULT, "read");
    FAILS(bytefd_map_write(map, 0, forbidden, 5, &copied, &error), EFAULT, "write");
    FAILS(bytefd_map_read(map, 0, (void *)1, 5, &copied, &error), EFAULT, "read");
    CHECK_EQUAL(mprotect(forbidden, page, PROT_READ), 0);
    FAILS(bytefd_map_read(map, 0, forbidden, 5, &copied, &error), EFAULT, "read");
    CHECK_EQUAL(copied, 77);
    CHECK_EQUAL(mprotect(forbidden, page, PROT_NONE), 0);
    CHECK(map_holds(map, "hello", 5));
    bytefd_map_close(map);

    /* A guarded map is copied by instructions where that is possible: they fault as all do. */
    copied_map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, BYTEFD_MAP_GUARD);
#ifdef __x86_64__
    CHECK_EQUAL(signal_of(copy_to_forbidden), SIGSEGV);
    CHECK_EQUAL(signal_of(copy_from_forbidden), SIGSEGV);
#else
    CHECK_EQUAL(signal_of(copy_to_forbidden), 0);
    CHECK_EQUAL(signal_of(copy_from_forbidden), 0);
#endif
    CHECK(map_holds(copied_map, "hello", 5));
    bytefd_map_close(copied_map);
    munmap(forbidden, page);
    unlink("file");
}

const struct test map_limit_tests[] = {
    TEST(memory_is_not_endless),
    TEST(parts_that_differ_do_not_move),
    TEST(limits_count_when_a_map_grows),
    TEST(a_buffer_that_is_not_there_is_an_error),
    {NULL, NULL},
};
