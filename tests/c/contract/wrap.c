/* shm_wrap_buffer, bytefd_wrap_iov, bytefd_reopen and bytefd_path. Their options are in options.c. */
#define _GNU_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_default_descriptor_is_as_the_header_says(void)
{
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    struct stat st;
    CHECK_EQUAL(fstat(fd, &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQUAL(st.st_mode & 07777, 0400);
    CHECK_EQUAL(st.st_size, 5);
    CHECK_EQUAL(st.st_nlink, 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(fd > 2);
    CHECK(holds(fd, "hello", 5));

    CHECK(write(fd, "x", 1) < 0);
    CHECK(ftruncate(fd, 4) < 0);
    CHECK(ftruncate(fd, 6) < 0);
    CHECK(mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    if (host_has_memfd())
        CHECK_EQUAL(fcntl(fd, F_GET_SEALS), default_seals());
    else
        CHECK_EQUAL(access_mode(fd), O_RDONLY);
    CHECK_EQUAL(close(fd), 0);
}

static void content_of_every_size_is_exact(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t sizes[] = {0, 1, page - 1, page, page + 1, 1 << 20, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (5 << 20) + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = pattern(sizes[i], (unsigned)i);
        int fd = SUCCEEDS(shm_wrap_buffer(bytes, sizes[i], NULL, &error));
        CHECK(holds(fd, bytes, sizes[i]));
        close(fd);
        free(bytes);
    }
    int fd = SUCCEEDS(shm_wrap_buffer(NULL, 0, NULL, &error));
    CHECK(holds(fd, "", 0));
    close(fd);
}

static void every_readable_mapping_works_and_ends_in_zeros(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int kinds[] = {MAP_SHARED, MAP_PRIVATE};
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    for (int i = 0; i < 2; i++) {
        char *map = mmap(NULL, page, PROT_READ, kinds[i], fd, 0);
        CHECK(map != MAP_FAILED);
        CHECK(memcmp(map, "hello", 5) == 0);
        for (size_t at = 5; at < page; at++)
            if (map[at] != 0)
                CHECK(!"zeros after the end");
        munmap(map, page);
    }
    close(fd);
}

static void content_outlives_the_buffer_and_the_descriptor(void)
{
    char buffer[] = "hello";
    int fd = SUCCEEDS(shm_wrap_buffer(buffer, 5, NULL, &error));
    memset(buffer, 'x', sizeof buffer);
    int copy = dup(fd);
    char *map = mmap(NULL, 5, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    CHECK(holds(copy, "hello", 5));
    close(copy);
    CHECK(map != MAP_FAILED && memcmp(map, "hello", 5) == 0);
    munmap(map, 5);
}

static void buffers_that_cannot_be_are_refused(void)
{
    FAILS(shm_wrap_buffer(NULL, 1, NULL, &error), EINVAL, "buf");
    FAILS(shm_wrap_buffer("x", (size_t)PTRDIFF_MAX + 1, NULL, &error), EINVAL, "len");
    FAILS(shm_wrap_buffer("x", SIZE_MAX, NULL, &error), EINVAL, "len");
    CHECK_EQUAL(shm_wrap_buffer(NULL, 1, NULL, NULL), -EINVAL);
}

static void memory_that_cannot_be_read_is_efault(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    mprotect(pages + page, page, PROT_NONE);
    FAILS(shm_wrap_buffer(pages + page, page, NULL, &error), EFAULT, NULL);
    /* Half of it can be read: no short file either. */
    FAILS(shm_wrap_buffer(pages, 2 * page, NULL, &error), EFAULT, NULL);
    struct iovec parts[2] = {{pages, page}, {pages + page, page}};
    FAILS(bytefd_wrap_iov(parts, 2, NULL, &error), EFAULT, NULL);
    munmap(pages, 2 * page);
}

/* Segments of different lengths, every third one empty, some of those without a base. */
static void segments_in_any_number_are_joined(void)
{
    static const size_t counts[] = {0, 1, 2, 64, 65, 1024, 1025, 5000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i], length = 0;
        unsigned char *bytes = pattern(count * 16, (unsigned)count);
        struct iovec *parts = calloc(count + 1, sizeof *parts);
        for (size_t part = 0; part < count; part++) {
            parts[part].iov_base = part % 6 == 2 ? NULL : bytes + length;
            parts[part].iov_len = part % 3 == 2 ? 0 : part % 16;
            length += parts[part].iov_len;
        }
        int fd = SUCCEEDS(bytefd_wrap_iov(parts, count, NULL, &error));
        CHECK(holds(fd, bytes, length));
        CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
        close(fd);
        free(parts);
        free(bytes);
    }
}

static void nothing_but_empty_segments_is_an_empty_file(void)
{
    struct iovec *parts = calloc(5000, sizeof *parts);
    int fd = SUCCEEDS(bytefd_wrap_iov(parts, 5000, NULL, &error));
    CHECK(holds(fd, "", 0));
    close(fd);
    free(parts);
    fd = SUCCEEDS(bytefd_wrap_iov(NULL, 0, NULL, &error));
    CHECK(holds(fd, "", 0));
    close(fd);
}

static void segments_that_cannot_be_are_refused(void)
{
    struct iovec no_base[2] = {{"x", 1}, {NULL, 1}};
    struct iovec too_long = {"x", (size_t)PTRDIFF_MAX + 1};
    struct iovec too_long_together[2] = {{"x", PTRDIFF_MAX}, {"x", 1}};
    FAILS(bytefd_wrap_iov(NULL, 1, NULL, &error), EINVAL, "iov");
    FAILS(bytefd_wrap_iov(no_base, SIZE_MAX, NULL, &error), EINVAL, "iov");
    FAILS(bytefd_wrap_iov(no_base, 2, NULL, &error), EINVAL, "iov");
    CHECK(strstr(error.message, "segment 1") != NULL);
    FAILS(bytefd_wrap_iov(&too_long, 1, NULL, &error), EINVAL, NULL);
    FAILS(bytefd_wrap_iov(too_long_together, 2, NULL, &error), EINVAL, NULL);
    CHECK_EQUAL(bytefd_wrap_iov(NULL, 1, NULL, NULL), -EINVAL);
}

static void a_reopened_descriptor_has_its_own_offset(void)
{
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    options.flags = BYTEFD_WRITABLE;
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, &options, &error));
    lseek(fd, 3, SEEK_SET);
    int other = SUCCEEDS(bytefd_reopen(fd, &error));
    CHECK(other != fd && is_open(fd));
    CHECK_EQUAL(lseek(other, 0, SEEK_CUR), 0);
    CHECK_EQUAL(access_mode(other), O_RDONLY);
    CHECK_EQUAL(fcntl(other, F_GETFD), FD_CLOEXEC);
    lseek(other, 1, SEEK_SET);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 3);
    /* The same file, not a copy. */
    CHECK_EQUAL(pwrite(fd, "J", 1, 0), 1);
    CHECK(holds(other, "Jello", 5));
    close(fd);
    CHECK(holds(other, "Jello", 5));
    close(other);
}

static void only_open_regular_files_are_reopened(void)
{
    int pipes[2], directory = open(".", O_RDONLY | O_CLOEXEC), device = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK_EQUAL(pipe2(pipes, O_CLOEXEC), 0);
    FAILS(bytefd_reopen(pipes[0], &error), EINVAL, NULL);
    FAILS(bytefd_reopen(directory, &error), EINVAL, NULL);
    FAILS(bytefd_reopen(device, &error), EINVAL, NULL);
    close(pipes[0]);
    close(pipes[1]);
    close(directory);
    close(device);
    FAILS(bytefd_reopen(device, &error), EBADF, NULL);
    FAILS(bytefd_reopen(-1, &error), EBADF, NULL);
    FAILS(bytefd_reopen(INT_MIN, &error), EBADF, NULL);
    CHECK_EQUAL(bytefd_reopen(-1, NULL), -EBADF);

    make_file("ordinary", "text", 4);
    int file = open("ordinary", O_WRONLY | O_CLOEXEC);
    int readable = SUCCEEDS(bytefd_reopen(file, &error));
    CHECK(holds(readable, "text", 4));
    close(readable);
    close(file);
    unlink("ordinary");
}

static void the_path_leads_to_the_file(void)
{
    char path[32], expected[32];
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    lseek(fd, 5, SEEK_SET);
    SUCCEEDS(bytefd_path(fd, path, sizeof path, &error));
    snprintf(expected, sizeof expected, "/proc/self/fd/%d", fd);
    CHECK(strcmp(path, expected) == 0);
    CHECK(file_holds(path, "hello", 5));
    int other = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_EQUAL(lseek(other, 0, SEEK_CUR), 0);
    close(other);
    close(fd);
}

static void a_buffer_for_the_path_is_exactly_large_enough_or_untouched(void)
{
    char path[32], whole[32];
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    SUCCEEDS(bytefd_path(fd, whole, sizeof whole, &error));
    size_t length = strlen(whole);

    memset(path, '?', sizeof path);
    SUCCEEDS(bytefd_path(fd, path, length + 1, &error));
    CHECK(memcmp(path, whole, length + 1) == 0 && path[length + 1] == '?');

    memset(path, '?', sizeof path);
    FAILS(bytefd_path(fd, path, length, &error), ERANGE, "buf");
    FAILS(bytefd_path(fd, path, 0, &error), ERANGE, "buf");
    FAILS(bytefd_path(fd, NULL, sizeof path, &error), EINVAL, "buf");
    close(fd);
    FAILS(bytefd_path(fd, path, sizeof path, &error), EBADF, NULL);
    FAILS(bytefd_path(-1, path, sizeof path, &error), EBADF, NULL);
    CHECK_EQUAL(bytefd_path(-1, path, sizeof path, NULL), -EBADF);
    for (size_t i = 0; i < sizeof path; i++)
        CHECK(path[i] == '?');

    /* The longest number there is fits into the 32 bytes that the header promises to be enough. */
    CHECK(snprintf(NULL, 0, "/proc/self/fd/%d", INT_MAX) < 32);
}

const struct test wrap_tests[] = {
    TEST(a_default_descriptor_is_as_the_header_says),
    TEST(content_of_every_size_is_exact),
    TEST(every_readable_mapping_works_and_ends_in_zeros),
    TEST(content_outlives_the_buffer_and_the_descriptor),
    TEST(buffers_that_cannot_be_are_refused),
    TEST(memory_that_cannot_be_read_is_efault),
    TEST(segments_in_any_number_are_joined),
    TEST(nothing_but_empty_segments_is_an_empty_file),
    TEST(segments_that_cannot_be_are_refused),
    TEST(a_reopened_descriptor_has_its_own_offset),
    TEST(only_open_regular_files_are_reopened),
    TEST(the_path_leads_to_the_file),
    TEST(a_buffer_for_the_path_is_exactly_large_enough_or_untouched),
    {NULL, NULL},
};
