/* bytefd_adopt. What needs other threads or a special host is tested elsewhere. */
#define _GNU_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_WRITE = PROT_READ | PROT_WRITE, OURS = MAP_PRIVATE | MAP_ANONYMOUS };

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* New pages between two that nobody may touch, so that no other mapping joins. */
static unsigned char *pages(size_t count)
{
    unsigned char *memory = mmap(NULL, (count + 2) * page(), PROT_NONE, OURS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_EQUAL(mprotect(memory + page(), count * page(), READ_WRITE), 0);
    return memory + page();
}

static void release(unsigned char *memory, size_t count)
{
    CHECK_EQUAL(munmap(memory - page(), (count + 2) * page()), 0);
}

static void a_buffer_becomes_its_own_file(void)
{
    size_t length = 5 * page();
    unsigned char *bytes = pattern(length, 1), *memory = pages(5);
    memcpy(memory, bytes, length);
    int fd = SUCCEEDS(bytefd_adopt(memory, length, &error));
    CHECK(fd > 2);
    CHECK(holds(fd, bytes, length) && memcmp(memory, bytes, length) == 0);
    CHECK_EQUAL(access_mode(fd), O_RDWR);
    CHECK_EQUAL(permissions(fd), 0600);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fcntl(fd, F_GET_SEALS), host_forbids_execution() ? 0x20 /* F_SEAL_EXEC */ : 0);

    memory[page() + 1] = bytes[page() + 1] = 'J';
    CHECK(holds(fd, bytes, length));
    CHECK_EQUAL(pwrite(fd, "K", 1, (off_t)length - 1), 1);
    CHECK_EQUAL(memory[length - 1], 'K');

    /* Each lives on without the other. */
    close(fd);
    memory[0] = 'L';
    CHECK_EQUAL(memory[0], 'L');
    release(memory, 5);

    memory = pages(1);
    fd = SUCCEEDS(bytefd_adopt(memory, page(), &error));
    strcpy((char *)memory, "hello");
    release(memory, 1);
    char seen[6] = "";
    CHECK_EQUAL(pread(fd, seen, 6, 0), 6);
    CHECK(strcmp(seen, "hello") == 0);
    close(fd);
    free(bytes);
}

static void the_rest_of_a_mapping_stays_private(void)
{
    unsigned char *memory = pages(3);
    memset(memory, 'a', 3 * page());
    int fd = SUCCEEDS(bytefd_adopt(memory + page(), page(), &error));
    memset(memory, 'b', 3 * page());
    unsigned char *expected = malloc(page());
    memset(expected, 'b', page());
    CHECK(holds(fd, expected, page()));
    CHECK_EQUAL(pwrite(fd, "c", 1, 0), 1);
    CHECK(memory[page() - 1] == 'b' && memory[page()] == 'c' && memory[2 * page()] == 'b');
    close(fd);
    free(expected);
    release(memory, 3);
}

static void a_sealed_file_keeps_its_length(void)
{
    unsigned char *memory = pages(2);
    int fd = SUCCEEDS(bytefd_adopt(memory, 2 * page(), &error));
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    CHECK_EQUAL(ftruncate(fd, 0), -1);
    CHECK_EQUAL(errno, EPERM);
    memory[page()] = 'x';
    char seen = 0;
    CHECK(pread(fd, &seen, 1, (off_t)page()) == 1 && seen == 'x');
    close(fd);
    release(memory, 2);
}

static unsigned char *shared_with_children;

static void store_in_child(void)
{
    shared_with_children[0] = 'c';
}

static void children_share_the_buffer(void)
{
    shared_with_children = pages(1);
    IN_CHILD(store_in_child);
    CHECK_EQUAL(shared_with_children[0], 0);
    int fd = SUCCEEDS(bytefd_adopt(shared_with_children, page(), &error));
    IN_CHILD(store_in_child);
    CHECK_EQUAL(shared_with_children[0], 'c');
    close(fd);
    release(shared_with_children, 1);
}

static void what_cannot_be_adopted_is_as_it_was(void)
{
    unsigned char *memory = pages(4), local = 0;
    memset(memory, 'a', 4 * page());
    FAILS(bytefd_adopt(NULL, page(), &error), EINVAL, "address");
    FAILS(bytefd_adopt(memory + 1, page(), &error), EINVAL, "address");
    FAILS(bytefd_adopt(memory, 0, &error), EINVAL, "length");
    FAILS(bytefd_adopt(memory, page() + 1, &error), EINVAL, "length");
    FAILS(bytefd_adopt(memory, SIZE_MAX - page() + 1, &error), EINVAL, "length");
    CHECK_EQUAL(bytefd_adopt(memory, 1, NULL), -EINVAL);

    /* The page behind is PROT_NONE. */
    FAILS(bytefd_adopt(memory, 5 * page(), &error), EACCES, "range");
    CHECK_EQUAL(mprotect(memory + page(), page(), PROT_READ), 0);
    FAILS(bytefd_adopt(memory, 4 * page(), &error), EACCES, "range");
    CHECK(strstr(error.message, "r--p") != NULL);
    CHECK_EQUAL(mprotect(memory + page(), page(), READ_WRITE), 0);

    CHECK(mmap(memory, page(), READ_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
    FAILS(bytefd_adopt(memory, 2 * page(), &error), EOPNOTSUPP, "range");
    make_file("file", "hello", 5);
    int file = open("file", O_RDWR | O_CLOEXEC);
    CHECK(mmap(memory, page(), READ_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == memory);
    FAILS(bytefd_adopt(memory, 2 * page(), &error), EOPNOTSUPP, "range");
    CHECK(strstr(error.message, "file") != NULL);
    close(file);
    unlink("file");

    CHECK_EQUAL(munmap(memory, page()), 0);
    FAILS(bytefd_adopt(memory, 2 * page(), &error), ENOMEM, "range");
    unsigned char *stack = &local - (uintptr_t)&local % page();
    FAILS(bytefd_adopt(stack, page(), &error), EOPNOTSUPP, "range");

    for (size_t i = page(); i < 4 * page(); i++)
        if (memory[i] != 'a') {
            CHECK(!"the bytes are as they were");
            break;
        }
    CHECK(mmap(memory, page(), READ_WRITE, OURS | MAP_FIXED, -1, 0) == memory);
    close(SUCCEEDS(bytefd_adopt(memory, 4 * page(), &error)));
    release(memory, 4);
}

const struct test adopt_tests[] = {
    TEST(a_buffer_becomes_its_own_file),
    TEST(the_rest_of_a_mapping_stays_private),
    TEST(a_sealed_file_keeps_its_length),
    TEST(children_share_the_buffer),
    TEST(what_cannot_be_adopted_is_as_it_was),
    {NULL, NULL},
};
