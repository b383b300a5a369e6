/* map_file. What needs a special host or limit is in host.c and process.c. */
#define _GNU_SOURCE

#include "maps.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const bytefd_map_options defaults = BYTEFD_MAP_OPTIONS_INIT;

static struct stat stat_of(const char *path)
{
    struct stat st = {.st_size = -1};
    CHECK_EQUAL(stat(path, &st), 0);
    return st;
}

static void any_range_of_bytes_can_be_mapped(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 3 * page + 100;
    size_t offsets[] = {0, 1, page - 1, page, page + 1, size - 1, size};
    unsigned char *bytes = pattern(size, 1);
    make_file("file", bytes, size);

    bytefd_map *map = map_it("file", NULL);
    CHECK(map_holds(map, bytes, size));
    CHECK_EQUAL(bytefd_map_close(map), 0);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        size_t rest = size - offsets[i];
        /* 0 is to the end of the file. */
        size_t lengths[] = {0, 1, rest / 2, rest};
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            bytefd_map_options options = defaults;
            options.offset = offsets[i];
            options.length = lengths[j];
            if (lengths[j] > rest) {
                REFUSES("file", &options, ENXIO, NULL);
                continue;
            }
            map = map_it("file", &options);
            CHECK(map_holds(map, bytes + offsets[i], lengths[j] == 0 ? rest : lengths[j]));
            CHECK_EQUAL(bytefd_map_close(map), 0);
        }
    }
    bytefd_map_options options = defaults;
    options.offset = size + 1;
    REFUSES("file", &options, ENXIO, NULL);
    options.offset = 10;
    options.length = size - 9;
    REFUSES("file", &options, ENXIO, NULL);
    free(bytes);
    unlink("file");
}

static void an_empty_file_is_an_empty_map(void)
{
    make_file("empty", "", 0);
    for (uint32_t access = BYTEFD_MAP_READ; access <= BYTEFD_MAP_PRIVATE; access++) {
        bytefd_map_options options = defaults;
        options.access = access;
        bytefd_map *map = map_it("empty", &options);
        CHECK_EQUAL(bytefd_map_length(map), 0);
        CHECK(bytefd_map_data(map) != NULL);
        if (access != BYTEFD_MAP_PRIVATE)
            SUCCEEDS(bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, &error));
        FAILS(bytefd_map_flush(map, 0, 1, BYTEFD_FLUSH_SYNC, &error), EINVAL, NULL);
        CHECK_EQUAL(bytefd_map_close(map), 0);
    }
    unlink("empty");
}

static void null_is_no_map(void)
{
    CHECK(bytefd_map_data(NULL) == NULL);
    CHECK_EQUAL(bytefd_map_length(NULL), 0);
    CHECK_EQUAL(bytefd_map_close(NULL), 0);
    FAILS(bytefd_map_flush(NULL, 0, 0, BYTEFD_FLUSH_SYNC, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_flush(NULL, 0, 0, BYTEFD_FLUSH_SYNC, NULL), -EINVAL);
}

static void a_read_map_shows_what_others_write(void)
{
    make_file("file", "hello", 5);
    bytefd_map *map = map_it("file", NULL);
    int fd = open("file", O_RDWR | O_CLOEXEC);
    CHECK_EQUAL(pwrite(fd, "J", 1, 0), 1);
    close(fd);
    CHECK(map_holds(map, "Jello", 5));
    bytefd_map_close(map);
    unlink("file");
}

static void stores_reach_the_file_only_through_a_write_map(void)
{
    bytefd_map_options options = defaults;
    make_file("file", "hello", 5);
    options.access = BYTEFD_MAP_PRIVATE;
    bytefd_map *map = map_it("file", &options);
    memcpy(bytefd_map_data(map), "JELLO", 5);
    CHECK(map_holds(map, "JELLO", 5));
    FAILS(bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, &error), EINVAL, NULL);
    bytefd_map_close(map);
    CHECK(file_holds("file", "hello", 5));

    options.access = BYTEFD_MAP_WRITE;
    options.offset = 1;
    map = map_it("file", &options);
    memcpy(bytefd_map_data(map), "ELLO", 4);
    CHECK(file_holds("file", "hELLO", 5));
    bytefd_map_close(map);
    CHECK(file_holds("file", "hELLO", 5));
    unlink("file");
}

static void files_are_created_and_grown_as_asked(void)
{
    bytefd_map_options options = defaults;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    mode_t before = umask(022);
    bytefd_map *map = map_it("new", &options);
    CHECK_EQUAL(bytefd_map_length(map), 0);
    CHECK_EQUAL(stat_of("new").st_mode & 07777, 0600);
    bytefd_map_close(map);
    unlink("new");

    options.mode = 0666;
    options.file_size = 10000;
    map = map_it("new", &options);
    unsigned char *zeros = calloc(1, 20000);
    CHECK(map_holds(map, zeros, 10000));
    CHECK_EQUAL(stat_of("new").st_mode & 07777, 0644);
    CHECK(stat_of("new").st_blocks * 512 >= 10000);
    memcpy((char *)bytefd_map_data(map) + 9999, "x", 1);
    bytefd_map_close(map);
    umask(before);

    /* A smaller file grows and keeps its content, a larger one stays as it is. */
    options.file_size = 20000;
    map = map_it("new", &options);
    CHECK(bytefd_map_length(map) == 20000);
    CHECK(memcmp(bytefd_map_data(map), zeros, 9999) == 0 && ((char *)bytefd_map_data(map))[9999] == 'x');
    CHECK(memcmp((char *)bytefd_map_data(map) + 10000, zeros, 10000) == 0);
    bytefd_map_close(map);
    options.file_size = 100;
    map = map_it("new", &options);
    CHECK_EQUAL(bytefd_map_length(map), 20000);
    bytefd_map_close(map);
    CHECK_EQUAL(stat_of("new").st_size, 20000);
    unlink("new");
    free(zeros);

    options.flags |= BYTEFD_MAP_NO_RESERVE;
    options.file_size = 1 << 30;
    map = map_it("new", &options);
    CHECK_EQUAL(bytefd_map_length(map), 1 << 30);
    CHECK(stat_of("new").st_blocks * 512 < 1 << 20);
    bytefd_map_close(map);
    unlink("new");
}

static void a_failure_undoes_what_was_done_to_the_file(void)
{
    bytefd_map_options options = defaults;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    options.file_size = 4096;
    options.offset = 4097;
    REFUSES("new", &options, ENXIO, NULL);
    CHECK(access("new", F_OK) < 0);
    make_file("file", "hello", 5);
    REFUSES("file", &options, ENXIO, NULL);
    CHECK(file_holds("file", "hello", 5));
    unlink("file");
}

static void a_map_beyond_the_end_reads_zeros_up_to_the_page(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bytefd_map_options options = defaults;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_BEYOND_EOF;
    options.length = 2 * page;
    make_file("file", "hello", 5);
    bytefd_map *map = map_it("file", &options);
    char *data = bytefd_map_data(map);
    CHECK_EQUAL(bytefd_map_length(map), 2 * page);
    CHECK(memcmp(data, "hello\0\0\0", 8) == 0 && data[page - 1] == 0);
    data[5] = '!';
    CHECK(file_holds("file", "hello", 5));
    /* The second page is there as soon as the file has it. */
    CHECK_EQUAL(truncate("file", (off_t)(2 * page)), 0);
    data[page] = 'x';
    CHECK_EQUAL(data[page], 'x');
    bytefd_map_close(map);
    unlink("file");
}

static void options_that_are_unknown_or_contradict_are_refused(void)
{
    static const bytefd_map_options refused[] = {
        {.access = 3}, {.access = UINT32_MAX}, {.flags = 1024}, {.flags = 1u << 31}, {.flags = BYTEFD_MAP_HUGE_PAGES},
        {.flags = BYTEFD_MAP_WIPE_ON_FORK}, {.access = BYTEFD_MAP_PRIVATE, .flags = BYTEFD_MAP_WIPE_ON_FORK},
        {.reserve = 1}, {.access = BYTEFD_MAP_PRIVATE, .reserve = 1},
        {.access = BYTEFD_MAP_WRITE, .reserve = (size_t)PTRDIFF_MAX + 1},
        {.flags = BYTEFD_MAP_CREATE}, {.access = BYTEFD_MAP_PRIVATE, .flags = BYTEFD_MAP_CREATE},
        {.file_size = 1}, {.access = BYTEFD_MAP_PRIVATE, .file_size = 1},
        {.access = BYTEFD_MAP_WRITE, .file_size = (uint64_t)INT64_MAX + 1},
        {.access = BYTEFD_MAP_WRITE, .flags = BYTEFD_MAP_CREATE, .mode = 01600},
        {.length = (size_t)PTRDIFF_MAX + 1}, {.offset = INT64_MAX, .length = 1}, {.offset = UINT64_MAX},
    };
    make_file("file", "hello", 5);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bytefd_map_options options = refused[i];
        options.size = sizeof options;
        REFUSES("file", &options, EINVAL, NULL);
        REFUSES("absent", &options, EINVAL, NULL);
    }
    CHECK(access("absent", F_OK) < 0);
    REFUSES(NULL, NULL, EINVAL, "path");
    FAILS(map_file("file", NULL, NULL, &error), EINVAL, "map");
    bytefd_map *map;
    CHECK_EQUAL(map_file(NULL, NULL, &map, NULL), -EINVAL);
    unlink("file");
}

static void only_regular_files_are_mapped_and_nothing_blocks(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQUAL(mkfifo("fifo", 0600), 0);

    for (uint32_t access = BYTEFD_MAP_READ; access <= BYTEFD_MAP_PRIVATE; access++) {
        bytefd_map_options options = defaults;
        options.access = access;
        REFUSES(".", &options, EISDIR, NULL);
        REFUSES("fifo", &options, ENODEV, NULL);
        REFUSES("socket", &options, ENODEV, NULL);
        REFUSES("/dev/null", &options, ENODEV, NULL);
        REFUSES("absent", &options, ENOENT, NULL);
        REFUSES("", &options, ENOENT, NULL);
        REFUSES("fifo/file", &options, ENOTDIR, NULL);
    }
    REFUSES("/proc/self/status", NULL, ENODEV, NULL);
    close(listener);
    unlink("socket");
    unlink("fifo");
}

static void a_long_message_is_shortened_in_its_middle(void)
{
    char path[PATH_MAX];
    memset(path, 'x', sizeof path);
    for (size_t i = 100; i < sizeof path; i += 100)
        path[i] = '/';
    strcpy(path, "beginning");
    path[strlen(path)] = 'x';
    path[1000] = 0;
    REFUSES(path, NULL, ENOENT, NULL);
    CHECK(strstr(error.message, "beginning") != NULL);
    CHECK(strstr(error.message, "...") != NULL);
    CHECK(strstr(error.message, strerror(ENOENT)) != NULL);
}

static void a_file_sealed_against_writing_is_not_mapped_for_writing(void)
{
    if (!host_has_memfd())
        return;
    char path[32];
    bytefd_wrap_options wrap = BYTEFD_WRAP_OPTIONS_INIT;
    wrap.mode = 0600;
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, &wrap, &error));
    SUCCEEDS(bytefd_path(fd, path, sizeof path, &error));
    bytefd_map_options options = defaults;
    options.access = BYTEFD_MAP_WRITE;
    REFUSES(path, &options, EPERM, NULL);
    options.access = BYTEFD_MAP_PRIVATE;
    bytefd_map *map = map_it(path, &options);
    close(fd);
    CHECK(map_holds(map, "hello", 5));
    bytefd_map_close(map);
}

const struct test map_tests[] = {
    TEST(any_range_of_bytes_can_be_mapped),
    TEST(an_empty_file_is_an_empty_map),
    TEST(null_is_no_map),
    TEST(a_read_map_shows_what_others_write),
    TEST(stores_reach_the_file_only_through_a_write_map),
    TEST(files_are_created_and_grown_as_asked),
    TEST(a_failure_undoes_what_was_done_to_the_file),
    TEST(a_map_beyond_the_end_reads_zeros_up_to_the_page),
    TEST(options_that_are_unknown_or_contradict_are_refused),
    TEST(only_regular_files_are_mapped_and_nothing_blocks),
    TEST(a_long_message_is_shortened_in_its_middle),
    TEST(a_file_sealed_against_writing_is_not_mapped_for_writing),
    {NULL, NULL},
};
