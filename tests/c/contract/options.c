/* The option structs: their size member, and every member of bytefd_wrap_options. */
#define _GNU_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const bytefd_wrap_options defaults = BYTEFD_WRAP_OPTIONS_INIT;

static int wrap_with(uint32_t flags, uint32_t backend)
{
    bytefd_wrap_options options = defaults;
    options.name = test_label();
    options.flags = flags;
    options.backend = backend;
    return shm_wrap_buffer("hello", 5, &options, &error);
}

/* Calls that read option structs, and give back what they made. */
static int wrap_call(const void *options)
{
    int fd = shm_wrap_buffer("hello", 5, options, &error);
    return fd < 0 ? fd : close(fd);
}

static int iov_call(const void *options)
{
    struct iovec part = {"hello", 5};
    int fd = bytefd_wrap_iov(&part, 1, options, &error);
    return fd < 0 ? fd : close(fd);
}

static int nothing_to_do(int fd, void *context)
{
    (void)fd;
    (void)context;
    return 0;
}

static int scan_call(const void *options)
{
    return scan_bytes("hello", 5, nothing_to_do, NULL, options, &error);
}

static int scan_begin_call(const void *options)
{
    bytefd_scan *scan;
    int fd = bytefd_scan_begin("hello", 5, options, &scan, &error);
    return fd < 0 ? fd : bytefd_scan_end(scan);
}

static int map_call(const void *options)
{
    bytefd_map *map;
    int status = map_file("mapped", options, &map, &error);
    return status < 0 ? status : bytefd_map_close(map);
}

static int map_fd_call(const void *options)
{
    bytefd_map *map;
    int fd = open("mapped", O_RDONLY | O_CLOEXEC);
    int status = bytefd_map_fd(fd, options, &map, &error);
    close(fd);
    return status < 0 ? status : bytefd_map_close(map);
}

static int map_memory_call(const void *options)
{
    bytefd_map *map;
    int status = bytefd_map_memory(5, options, &map, &error);
    return status < 0 ? status : bytefd_map_close(map);
}

static void a_struct_is_read_as_far_as_its_size_says(void)
{
    static const struct {
        int (*call)(const void *);
        /* The sizes of the struct in the first version and in this one. */
        size_t first, known;
    } calls[] = {
        {wrap_call, 40, sizeof(bytefd_wrap_options)},
        {iov_call, 40, sizeof(bytefd_wrap_options)},
        {scan_call, 40, sizeof(bytefd_wrap_options)},
        {scan_begin_call, 40, sizeof(bytefd_wrap_options)},
        {map_call, 48, sizeof(bytefd_map_options)},
        {map_fd_call, 48, sizeof(bytefd_map_options)},
        {map_memory_call, 48, sizeof(bytefd_map_options)},
    };
    /* The structs end where no memory is: reading too far is a signal. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + page, page, PROT_NONE);
    make_file("mapped", "hello", 5);

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int (*call)(const void *) = calls[i].call;
        size_t first = calls[i].first, known = calls[i].known;
        size_t *options;

        /* Shared memory is a memfd. */
        if (call == map_memory_call && !host_has_memfd())
            continue;
        SUCCEEDS(call(NULL));
        size_t smaller[] = {0, 1, 8, first - 8, first - 1};
        for (size_t j = 0; j < sizeof smaller / sizeof *smaller; j++) {
            options = (size_t *)(pages + page - (smaller[j] <= sizeof *options ? sizeof *options : first));
            *options = smaller[j];
            FAILS(call(options), EINVAL, "options");
        }
        size_t larger[] = {first, known, known + 1, known + 8, 2 * known, 4096};
        for (size_t j = 0; j < sizeof larger / sizeof *larger; j++) {
            size_t size = larger[j];
            memset(pages, 0, page);
            options = (size_t *)(pages + (page - size) / 8 * 8);
            *options = size;
            SUCCEEDS(call(options));
            if (size > known) {
                ((char *)options)[size - 1] = 1;
                FAILS(call(options), E2BIG, "options");
                ((char *)options)[size - 1] = 0;
                ((char *)options)[known] = 1;
                FAILS(call(options), E2BIG, "options");
            }
        }
        size_t absurd[] = {1 << 30, (size_t)PTRDIFF_MAX, SIZE_MAX - 7, SIZE_MAX};
        for (size_t j = 0; j < sizeof absurd / sizeof *absurd; j++) {
            memset(pages, 0, page);
            options = (size_t *)(pages + page - known);
            *options = absurd[j];
            FAILS(call(options), E2BIG, "options");
        }
    }
    unlink("mapped");
    munmap(pages, 2 * page);
}

static void the_name_is_a_label(void)
{
    char name[202], link[256] = "", shown[256];
    bytefd_wrap_options options = defaults;
    memset(name, 'n', 201);
    name[201] = 0;
    options.name = name;
    FAILS(shm_wrap_buffer("x", 1, &options, &error), EINVAL, "name");
    name[200] = 0;
    /* Two of the same name are two files. */
    int one = SUCCEEDS(shm_wrap_buffer("1", 1, &options, &error));
    int two = SUCCEEDS(shm_wrap_buffer("2", 1, &options, &error));
    CHECK(holds(one, "1", 1) && holds(two, "2", 1));
    if (host_has_memfd()) {
        char path[32];
        SUCCEEDS(bytefd_path(one, path, sizeof path, &error));
        snprintf(shown, sizeof shown, "/memfd:%s (deleted)", name);
        CHECK(readlink(path, link, sizeof link - 1) > 0 && strcmp(link, shown) == 0);
    }
    close(one);
    close(two);

    static const char *const refused[] = {"", "/", "a/b", "\n", "a\n"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        options.name = refused[i];
        FAILS(shm_wrap_buffer("x", 1, &options, &error), EINVAL, "name");
    }
}

static void a_writable_file_can_be_changed_and_sealed(void)
{
    int fd = SUCCEEDS(wrap_with(BYTEFD_WRITABLE, BYTEFD_BACKEND_AUTO));
    CHECK_EQUAL(access_mode(fd), O_RDWR);
    CHECK_EQUAL(permissions(fd), 0600);
    CHECK_EQUAL(pwrite(fd, "J", 1, 0), 1);
    CHECK_EQUAL(ftruncate(fd, 2), 0);
    CHECK(holds(fd, "Je", 2));
    if (host_has_memfd()) {
        CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
        CHECK(pwrite(fd, "x", 1, 0) < 0);
    }
    close(fd);
}

static void a_read_only_file_has_a_read_only_description(void)
{
    int fd = SUCCEEDS(wrap_with(BYTEFD_READ_ONLY, BYTEFD_BACKEND_AUTO));
    CHECK_EQUAL(access_mode(fd), O_RDONLY);
    CHECK_EQUAL(permissions(fd), 0400);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    if (host_has_memfd())
        CHECK_EQUAL(fcntl(fd, F_GET_SEALS), default_seals());
    CHECK(holds(fd, "hello", 5));
    close(fd);
}

static void sealed_content_leaves_further_seals_to_the_caller(void)
{
    if (!host_has_memfd()) {
        CHECK(wrap_with(BYTEFD_SEAL_CONTENT, BYTEFD_BACKEND_AUTO) < 0);
        return;
    }
    int fd = SUCCEEDS(wrap_with(BYTEFD_SEAL_CONTENT, BYTEFD_BACKEND_AUTO));
    CHECK_EQUAL(fcntl(fd, F_GET_SEALS), 0xe);
    CHECK(pwrite(fd, "x", 1, 0) < 0);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_EQUAL(fcntl(fd, F_GET_SEALS), 0xf);
    close(fd);
    FAILS(wrap_with(BYTEFD_SEAL_CONTENT, BYTEFD_BACKEND_SHM), EINVAL, NULL);
    FAILS(wrap_with(BYTEFD_SEAL_CONTENT, BYTEFD_BACKEND_TMPFILE), EINVAL, NULL);
}

/* Executes a copy of true(1) behind the descriptor. Returns whether that worked. */
static bool runs(int fd)
{
    char path[32], *arguments[] = {"true", NULL}, *environment[] = {NULL};
    int status = -1;
    bytefd_path(fd, path, sizeof path, NULL);
    pid_t child = fork();
    if (child == 0) {
        execve(path, arguments, environment);
        _exit(126);
    }
    waitpid(child, &status, 0);
    return status == 0;
}

static void only_an_executable_file_can_be_executed(void)
{
    bytefd_map *program;
    bytefd_wrap_options options = defaults;
    SUCCEEDS(map_file("/bin/true", NULL, &program, &error));
    int fd = SUCCEEDS(shm_wrap_buffer(bytefd_map_data(program), bytefd_map_length(program), &options, &error));
    CHECK(!runs(fd));
    if (host_forbids_execution())
        CHECK(fchmod(fd, 0500) < 0 || !runs(fd));
    close(fd);
    options.flags = BYTEFD_EXECUTABLE;
    fd = SUCCEEDS(shm_wrap_buffer(bytefd_map_data(program), bytefd_map_length(program), &options, &error));
    CHECK_EQUAL(permissions(fd), 0500);
    /* /dev/shm may be mounted noexec. */
    CHECK(!host_has_memfd() || runs(fd));
    close(fd);
    bytefd_map_close(program);

    fd = SUCCEEDS(wrap_with(BYTEFD_EXECUTABLE | BYTEFD_WRITABLE, BYTEFD_BACKEND_AUTO));
    CHECK_EQUAL(permissions(fd), 0700);
    close(fd);
}

static void flags_that_are_unknown_or_contradict_are_refused(void)
{
    FAILS(wrap_with(BYTEFD_WRITABLE | BYTEFD_READ_ONLY, BYTEFD_BACKEND_AUTO), EINVAL, NULL);
    FAILS(wrap_with(BYTEFD_WRITABLE | BYTEFD_SEAL_CONTENT, BYTEFD_BACKEND_AUTO), EINVAL, NULL);
    FAILS(wrap_with(BYTEFD_TRUST_CALLBACK, BYTEFD_BACKEND_AUTO), EINVAL, "options");
    for (uint32_t bit = 64; bit != 0; bit <<= 1)
        FAILS(wrap_with(bit, BYTEFD_BACKEND_AUTO), EINVAL, "flags");
    FAILS(wrap_with(0, 4), EINVAL, "backend");
    FAILS(wrap_with(0, UINT32_MAX), EINVAL, "backend");
}

static void every_backend_makes_the_same_kind_of_file(void)
{
    static const uint32_t backends[] = {BYTEFD_BACKEND_MEMFD, BYTEFD_BACKEND_SHM, BYTEFD_BACKEND_TMPFILE};
    static const uint32_t all_flags[] = {
        0, BYTEFD_WRITABLE, BYTEFD_READ_ONLY, BYTEFD_EXECUTABLE, BYTEFD_INHERIT, BYTEFD_READ_ONLY | BYTEFD_INHERIT,
    };
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (!host_has(backends[i]))
            continue;
        for (size_t j = 0; j < sizeof all_flags / sizeof *all_flags; j++) {
            uint32_t flags = all_flags[j];
            bool writable = flags & BYTEFD_WRITABLE;
            int fd = SUCCEEDS(wrap_with(flags, backends[i]));
            struct stat st;
            CHECK_EQUAL(fstat(fd, &st), 0);
            CHECK_EQUAL(st.st_nlink, 0);
            CHECK_EQUAL(st.st_mode & 07777, writable ? 0600 : flags & BYTEFD_EXECUTABLE ? 0500 : 0400);
            CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
            CHECK_EQUAL(fcntl(fd, F_GETFD), flags & BYTEFD_INHERIT ? 0 : FD_CLOEXEC);
            CHECK(holds(fd, "hello", 5));
            CHECK((pwrite(fd, "J", 1, 0) == 1) == writable);
            CHECK((ftruncate(fd, 1) == 0) == writable);
            if (backends[i] != BYTEFD_BACKEND_MEMFD)
                CHECK_EQUAL(access_mode(fd), writable ? O_RDWR : O_RDONLY);
            close(fd);
        }
    }
}

static void permissions_are_as_asked(void)
{
    static const struct {
        uint32_t mode, flags;
        bool refused;
    } cases[] = {
        {0444, 0, false},   {0640, 0, false}, {0600, BYTEFD_WRITABLE, false}, {0755, BYTEFD_EXECUTABLE, false},
        {0777, BYTEFD_EXECUTABLE, false}, {0200, 0, true}, {0044, 0, true}, {0500, 0, true}, {0401, 0, true},
        {01400, 0, true}, {04500, BYTEFD_EXECUTABLE, true}, {0100400, 0, true},
    };
    bytefd_wrap_options options = defaults;
    mode_t before = umask(077);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options.mode = cases[i].mode;
        options.flags = cases[i].flags;
        if (cases[i].refused) {
            FAILS(shm_wrap_buffer("x", 1, &options, &error), EINVAL, "mode");
        } else {
            int fd = SUCCEEDS(shm_wrap_buffer("x", 1, &options, &error));
            CHECK_EQUAL(permissions(fd), cases[i].mode);
            close(fd);
        }
    }
    umask(before);
}

const struct test option_tests[] = {
    TEST(a_struct_is_read_as_far_as_its_size_says),
    TEST(the_name_is_a_label),
    TEST(a_writable_file_can_be_changed_and_sealed),
    TEST(a_read_only_file_has_a_read_only_description),
    TEST(sealed_content_leaves_further_seals_to_the_caller),
    TEST(only_an_executable_file_can_be_executed),
    TEST(flags_that_are_unknown_or_contradict_are_refused),
    TEST(every_backend_makes_the_same_kind_of_file),
    TEST(permissions_are_as_asked),
    {NULL, NULL},
};
