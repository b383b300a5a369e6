/* Maps of descriptors and of memory, and the descriptors that maps keep. */
#define _GNU_SOURCE

#include "maps.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void a_descriptor_is_mapped_and_stays_the_callers(void)
{
    size_t page = page_size(), size = page + 10;
    unsigned char *bytes = pattern(size, 2);
    make_file("file", bytes, size);
    int fd = open("file", O_RDWR | O_CLOEXEC);
    CHECK_EQUAL(lseek(fd, 7, SEEK_SET), 7);
    for (uint32_t access = BYTEFD_MAP_READ; access <= BYTEFD_MAP_PRIVATE; access++) {
        bytefd_map *map = NULL;
        bytefd_map_options options = with_access(access, 0);
        CHECK_EQUAL(SUCCEEDS(bytefd_map_fd(fd, &options, &map, &error)), 0);
        CHECK(map_holds(map, bytes, size));
        CHECK_EQUAL(bytefd_map_close(map), 0);
        options.offset = page - 1;
        options.length = 2;
        SUCCEEDS(bytefd_map_fd(fd, &options, &map, &error));
        CHECK(map_holds(map, bytes + page - 1, 2));
        bytefd_map_close(map);
    }
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 7);
    /* The map lives on without the descriptor, and can grow its file. */
    bytefd_map *map;
    bytefd_map_options options = with_access(BYTEFD_MAP_WRITE, 0);
    options.file_size = size + 5;
    SUCCEEDS(bytefd_map_fd(fd, &options, &map, &error));
    close(fd);
    memcpy((char *)bytefd_map_data(map) + size, "hello", 5);
    bytefd_map_close(map);
    CHECK_EQUAL(size_of("file"), size + 5);
    free(bytes);
    unlink("file");
}

static void a_descriptor_that_cannot_be_mapped_is_refused(void)
{
    bytefd_map_options writing = with_access(BYTEFD_MAP_WRITE, 0);
    make_file("file", "hello", 5);
    int reading = open("file", O_RDONLY | O_CLOEXEC), storing = open("file", O_WRONLY | O_CLOEXEC);
    int pipes[2], folder = open(".", O_RDONLY | O_CLOEXEC);
    CHECK_EQUAL(pipe2(pipes, O_CLOEXEC), 0);
    MAKES_NO_MAP(bytefd_map_fd(-1, NULL, &map, &error), EBADF, NULL);
    MAKES_NO_MAP(bytefd_map_fd(100000000, NULL, &map, &error), EBADF, NULL);
    MAKES_NO_MAP(bytefd_map_fd(reading, &writing, &map, &error), EACCES, NULL);
    MAKES_NO_MAP(bytefd_map_fd(storing, &writing, &map, &error), EACCES, NULL);
    MAKES_NO_MAP(bytefd_map_fd(storing, NULL, &map, &error), EACCES, NULL);
    MAKES_NO_MAP(bytefd_map_fd(folder, NULL, &map, &error), EISDIR, NULL);
    MAKES_NO_MAP(bytefd_map_fd(pipes[0], NULL, &map, &error), ENODEV, NULL);
    bytefd_map_options options = with_access(BYTEFD_MAP_WRITE, BYTEFD_MAP_CREATE);
    MAKES_NO_MAP(bytefd_map_fd(reading, &options, &map, &error), EINVAL, "options");
    options = ALL_DEFAULTS;
    options.mode = 0600;
    MAKES_NO_MAP(bytefd_map_fd(reading, &options, &map, &error), EINVAL, "options");
    options = ALL_DEFAULTS;
    options.length = 6;
    MAKES_NO_MAP(bytefd_map_fd(reading, &options, &map, &error), ENXIO, NULL);
    FAILS(bytefd_map_fd(reading, NULL, NULL, &error), EINVAL, "map");
    bytefd_map *map;
    CHECK_EQUAL(bytefd_map_fd(-1, NULL, &map, NULL), -EBADF);
    close(reading);
    close(storing);
    close(folder);
    close(pipes[0]);
    close(pipes[1]);
    unlink("file");

    if (host_has_memfd()) {
        bytefd_wrap_options sealed = BYTEFD_WRAP_OPTIONS_INIT;
        sealed.flags = BYTEFD_SEAL_CONTENT;
        int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, &sealed, &error));
        MAKES_NO_MAP(bytefd_map_fd(fd, &writing, &map, &error), EPERM, NULL);
        close(fd);
    }
}

static void memory_is_zeros_that_can_be_written(void)
{
    size_t lengths[] = {1, 5, page_size(), page_size() + 1, 3000000};
    for (uint32_t access = BYTEFD_MAP_READ; access <= BYTEFD_MAP_PRIVATE; access++) {
        if (access != BYTEFD_MAP_PRIVATE && !host_has_memfd())
            continue;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            for (uint32_t flags = 0; flags <= BYTEFD_MAP_POPULATE; flags += BYTEFD_MAP_POPULATE) {
                bytefd_map *map = map_memory(lengths[i], access, flags | BYTEFD_MAP_NO_RESERVE);
                CHECK_EQUAL(bytefd_map_length(map), lengths[i]);
                CHECK(is_zero(bytefd_map_data(map), lengths[i]));
                memset(bytefd_map_data(map), 'x', lengths[i]);
                CHECK_EQUAL(bytefd_map_close(map), 0);
            }
        }
        bytefd_map *map = map_memory(0, access, 0);
        CHECK(bytefd_map_data(map) != NULL);
        CHECK_EQUAL(bytefd_map_length(map), 0);
        CHECK_EQUAL(bytefd_map_close(map), 0);
    }
}

static void options_for_files_are_refused_for_memory(void)
{
    static const bytefd_map_options refused[] = {
        {.access = 3}, {.flags = 1024}, {.offset = 1}, {.length = 1}, {.file_size = 1}, {.mode = 0600},
        {.access = BYTEFD_MAP_WRITE, .flags = BYTEFD_MAP_CREATE}, {.flags = BYTEFD_MAP_BEYOND_EOF},
        {.flags = BYTEFD_MAP_WIPE_ON_FORK}, {.access = BYTEFD_MAP_WRITE, .flags = BYTEFD_MAP_WIPE_ON_FORK},
        {.reserve = (size_t)PTRDIFF_MAX + 1},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bytefd_map_options options = refused[i];
        options.size = sizeof options;
        MAKES_NO_MAP(bytefd_map_memory(4096, &options, &map, &error), EINVAL, NULL);
    }
    MAKES_NO_MAP(bytefd_map_memory((size_t)PTRDIFF_MAX + 1, NULL, &map, &error), EINVAL, NULL);
    MAKES_NO_MAP(bytefd_map_memory(SIZE_MAX, NULL, &map, &error), EINVAL, NULL);
    FAILS(bytefd_map_memory(5, NULL, NULL, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_memory(5, NULL, NULL, NULL), -EINVAL);
}

static void memory_is_limited(void)
{
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}), 0);
    MAKES_NO_MAP(bytefd_map_memory(1001, NULL, &map, &error), EFBIG, NULL);
    bytefd_map *map;
    SUCCEEDS(bytefd_map_memory(1000, NULL, &map, &error));
    FAILS(bytefd_map_resize(map, 1001, &error), EFBIG, NULL);
    CHECK_EQUAL(bytefd_map_length(map), 1000);
    bytefd_map_close(map);
}

static void the_file_size_limit_counts_for_shared_memory(void)
{
    if (host_has_memfd())
        IN_CHILD(memory_is_limited);
}

static void a_map_shows_what_goes_through_its_descriptor(void)
{
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, 0);
    int fd = SUCCEEDS(bytefd_map_descriptor(map, &error));
    CHECK_EQUAL(pwrite(fd, "J", 1, 0), 1);
    CHECK(map_holds(map, "Jello", 5));
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(access_mode(fd), O_RDWR);
    bytefd_map_close(map);
    CHECK(!is_open(fd));
    unlink("file");

    if (!host_has_memfd())
        return;
    map = map_memory(5, BYTEFD_MAP_WRITE, 0);
    fd = SUCCEEDS(bytefd_map_descriptor(map, &error));
    memcpy(bytefd_map_data(map), "hello", 5);
    CHECK(fd > 2 && holds(fd, "hello", 5));
    CHECK_EQUAL(permissions(fd), 0600);
    bytefd_map_close(map);
    CHECK(!is_open(fd));
}

static void a_map_that_keeps_no_descriptor_says_so(void)
{
    make_file("file", "hello", 5);
    bytefd_map_options private = with_access(BYTEFD_MAP_PRIVATE, 0);
    bytefd_map *maps[] = {map_it("file", NULL), map_it("file", &private), map_memory(5, BYTEFD_MAP_PRIVATE, 0)};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        FAILS(bytefd_map_descriptor(maps[i], &error), EBADF, "descriptor");
        bytefd_map_close(maps[i]);
    }
    FAILS(bytefd_map_descriptor(NULL, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_descriptor(NULL, NULL), -EINVAL);
    unlink("file");
}

/* bytefd_map_options as programs have it that were compiled with the first version. */
struct first_options {
    size_t size;
    uint64_t offset;
    size_t length;
    uint64_t file_size;
    uint32_t access, flags, mode;
};
_Static_assert(sizeof(struct first_options) == 48, "size of the first bytefd_map_options");

static void a_program_of_the_first_version_still_works(void)
{
    /* What lies behind the struct is the program's own, and no member. */
    struct {
        struct first_options options;
        size_t other;
    } program = {{.size = 48, .offset = 1, .length = 3}, 1};
    make_file("file", "hello", 5);
    bytefd_map *map = map_it("file", (const bytefd_map_options *)&program.options);
    CHECK(map_holds(map, "ell", 3));
    bytefd_map_close(map);

    /* Nothing at all need be there. */
    struct first_options *options = malloc(sizeof *options);
    *options = (struct first_options){.size = 48, .access = BYTEFD_MAP_WRITE, .file_size = 7};
    map = map_it("file", (const bytefd_map_options *)options);
    CHECK(map_holds(map, "hello\0", 7));
    bytefd_map_close(map);
    free(options);
    unlink("file");
}

const struct test map_source_tests[] = {
    TEST(a_descriptor_is_mapped_and_stays_the_callers),
    TEST(a_descriptor_that_cannot_be_mapped_is_refused),
    TEST(memory_is_zeros_that_can_be_written),
    TEST(options_for_files_are_refused_for_memory),
    TEST(the_file_size_limit_counts_for_shared_memory),
    TEST(a_map_shows_what_goes_through_its_descriptor),
    TEST(a_map_that_keeps_no_descriptor_says_so),
    TEST(a_program_of_the_first_version_still_works),
    {NULL, NULL},
};
