/* bytefd_map_seal: memory that becomes a sealed descriptor. */
#define _GNU_SOURCE

#include "maps.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void memory_becomes_a_sealed_descriptor(void)
{
    if (!host_has_memfd())
        return;
    size_t lengths[] = {0, 5, page_size(), 2 * page_size() + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char *bytes = pattern(lengths[i], 9);
        bytefd_map *map = map_memory(lengths[i], BYTEFD_MAP_WRITE, 0);
        char *data = bytefd_map_data(map);
        memcpy(data, bytes, lengths[i]);
        int fd = SUCCEEDS(bytefd_map_seal(map, &error));
        CHECK(fd > 2 && holds(fd, bytes, lengths[i]));
        CHECK_EQUAL(fcntl(fd, F_GET_SEALS), default_seals());
        CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
        CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
        CHECK_EQUAL(permissions(fd), 0400);

        CHECK(bytefd_map_data(map) == data && map_holds(map, bytes, lengths[i]));
        if (lengths[i] > 0)
            CHECK_EQUAL(signal_of_store(data), SIGSEGV);
        CHECK_EQUAL(bytefd_map_close(map), 0);
        CHECK(holds(fd, bytes, lengths[i]));
        close(fd);
        free(bytes);
    }
    bytefd_map *map = map_memory(5, BYTEFD_MAP_WRITE, BYTEFD_MAP_EXECUTE);
    int fd = bytefd_map_seal(map, NULL);
    CHECK_EQUAL(permissions(fd), 0500);
    close(fd);
    bytefd_map_close(map);
}

static void a_sealed_map_is_for_reading_only(void)
{
    if (!host_has_memfd())
        return;
    char text[5];
    size_t copied = 77;
    bytefd_map *map = map_memory(5, BYTEFD_MAP_WRITE, 0);
    memcpy(bytefd_map_data(map), "hello", 5);
    int fd = SUCCEEDS(bytefd_map_seal(map, &error));
    FAILS(bytefd_map_seal(map, &error), EINVAL, "seal");
    FAILS(bytefd_map_descriptor(map, &error), EBADF, "descriptor");
    FAILS(bytefd_map_resize(map, 10, &error), EINVAL, "resize");
    FAILS(bytefd_map_resize(map, 1, &error), EINVAL, "resize");
    FAILS(bytefd_map_write(map, 0, "J", 1, &copied, &error), EACCES, "write");
    uint32_t all = BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_WRITE;
    FAILS(bytefd_map_protect(map, 0, 0, all, &error), EACCES, "protection");
    CHECK_EQUAL(copied, 77);
    SUCCEEDS(bytefd_map_read(map, 0, text, 5, &copied, &error));
    CHECK(copied == 5 && memcmp(text, "hello", 5) == 0);
    SUCCEEDS(bytefd_map_prefetch(map, 0, 0, &error));
    SUCCEEDS(bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, &error));
    SUCCEEDS(bytefd_map_check(map, &error));
    CHECK(is_open(fd));
    bytefd_map_close(map);
    close(fd);
}

static void only_shared_memory_is_sealed(void)
{
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    FAILS(bytefd_map_seal(map, &error), EINVAL, "seal");
    memcpy(bytefd_map_data(map), "JELLO", 5);
    bytefd_map_close(map);
    CHECK(file_holds("file", "JELLO", 5));
    map = map_it("file", NULL);
    FAILS(bytefd_map_seal(map, &error), EINVAL, "seal");
    bytefd_map_close(map);
    unlink("file");
    map = map_memory(5, BYTEFD_MAP_PRIVATE, 0);
    FAILS(bytefd_map_seal(map, &error), EINVAL, "seal");
    bytefd_map_close(map);
    FAILS(bytefd_map_seal(NULL, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_seal(NULL, NULL), -EINVAL);
}

static void memory_that_cannot_be_sealed_stays_as_it_is(void)
{
    if (!host_has_memfd())
        return;
    bytefd_map *map = map_memory(5, BYTEFD_MAP_WRITE, 0);
    memcpy(bytefd_map_data(map), "hello", 5);
    int fd = SUCCEEDS(bytefd_map_descriptor(map, &error));
    char *other = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(other != MAP_FAILED);
    FAILS(bytefd_map_seal(map, &error), EBUSY, "seal");
    memcpy(bytefd_map_data(map), "JELLO", 5);
    CHECK(memcmp(other, "JELLO", 5) == 0);
    munmap(other, 5);
    CHECK_EQUAL(bytefd_map_descriptor(map, NULL), fd);
    SUCCEEDS(bytefd_map_resize(map, 6, &error));

    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    FAILS(bytefd_map_seal(map, &error), EPERM, "seal");
    memcpy(bytefd_map_data(map), "hello", 6);
    CHECK(holds(fd, "hello", 6));
    bytefd_map_close(map);
}

const struct test map_seal_tests[] = {
    TEST(memory_becomes_a_sealed_descriptor),
    TEST(a_sealed_map_is_for_reading_only),
    TEST(only_shared_memory_is_sealed),
    TEST(memory_that_cannot_be_sealed_stays_as_it_is),
    {NULL, NULL},
};
