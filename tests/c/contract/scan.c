/* scan_bytes and its two-step form. */
#define _GNU_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a callback is told, and what it found. */
struct visit {
    const void *expected;
    size_t length;
    int answer;

    int calls, fd, kept;
    bool same;
    char *map;
};

static int look_at(int fd, void *context)
{
    struct visit *visit = context;
    visit->calls++;
    visit->fd = fd;
    visit->same = holds(fd, visit->expected, visit->length) && lseek(fd, 0, SEEK_CUR) == 0;
    return visit->answer;
}

static void the_function_sees_the_bytes_once_and_the_descriptor_is_closed(void)
{
    size_t lengths[] = {0, 1, 4096, (1 << 20) + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        unsigned char *bytes = pattern(lengths[i], (unsigned)i);
        struct visit visit = {.expected = bytes, .length = lengths[i]};
        CHECK_EQUAL(SUCCEEDS(scan_bytes(bytes, lengths[i], look_at, &visit, NULL, &error)), 0);
        CHECK(visit.calls == 1 && visit.same && visit.fd > 2 && !is_open(visit.fd));
        free(bytes);
    }
    struct visit visit = {.expected = ""};
    CHECK_EQUAL(scan_bytes(NULL, 0, look_at, &visit, NULL, NULL), 0);
    CHECK(visit.calls == 1 && visit.same);
}

static void what_the_function_returns_is_in_the_error(void)
{
    static const int answers[] = {1, 7, -3, 1 << 30, -(1 << 30)};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct visit visit = {.expected = "hello", .length = 5, .answer = answers[i]};
        char value[16];
        FAILS(scan_bytes("hello", 5, look_at, &visit, NULL, &error), ECANCELED, "callback");
        snprintf(value, sizeof value, " %d", answers[i]);
        CHECK(strstr(error.message, value) != NULL);
        CHECK(visit.calls == 1 && !is_open(visit.fd));
        CHECK_EQUAL(scan_bytes("hello", 5, look_at, &visit, NULL, NULL), -ECANCELED);
    }
}

static void without_a_descriptor_the_function_is_not_called(void)
{
    struct visit visit = {.expected = ""};
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    FAILS(scan_bytes("x", 1, NULL, NULL, NULL, &error), EINVAL, "scan");
    FAILS(scan_bytes(NULL, 1, look_at, &visit, NULL, &error), EINVAL, "buf");
    FAILS(scan_bytes("x", SIZE_MAX, look_at, &visit, NULL, &error), EINVAL, "len");
    options.flags = 64;
    FAILS(scan_bytes("x", 1, look_at, &visit, &options, &error), EINVAL, "flags");
    options.flags = BYTEFD_TRUST_CALLBACK;
    FAILS(scan_bytes("x", 1, look_at, &visit, &options, &error), EINVAL, "options");
    CHECK_EQUAL(visit.calls, 0);
}

static int check_flags(int fd, void *context)
{
    uint32_t flags = *(uint32_t *)context;
    CHECK_EQUAL(fcntl(fd, F_GETFD), flags & BYTEFD_INHERIT ? 0 : FD_CLOEXEC);
    CHECK_EQUAL(pwrite(fd, "J", 1, 0) == 1, (flags & BYTEFD_WRITABLE) != 0);
    if (flags & BYTEFD_READ_ONLY)
        CHECK_EQUAL(access_mode(fd), O_RDONLY);
    return 0;
}

static void options_count_for_scans_too(void)
{
    static uint32_t all_flags[] = {
        0, BYTEFD_INHERIT, BYTEFD_WRITABLE, BYTEFD_WRITABLE | BYTEFD_INHERIT, BYTEFD_READ_ONLY,
    };
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    for (size_t i = 0; i < sizeof all_flags / sizeof *all_flags; i++) {
        options.flags = all_flags[i];
        SUCCEEDS(scan_bytes("hello", 5, check_flags, &all_flags[i], &options, &error));
    }
    struct visit visit = {.expected = "hello", .length = 5};
    options.flags = BYTEFD_WRITABLE;
    SUCCEEDS(scan_bytes("hello", 5, look_at, &visit, &options, &error));
    CHECK(visit.same);
}

static int close_it(int fd, void *context)
{
    (void)context;
    return close(fd);
}

/* Afterwards the number stands for the file "other". */
static int close_and_reuse(int fd, void *context)
{
    int other = open("other", O_RDONLY | O_CLOEXEC);
    CHECK_EQUAL(dup3(other, fd, O_CLOEXEC), fd);
    close(other);
    *(int *)context = fd;
    return 0;
}

static void a_function_may_close_the_descriptor_itself(void)
{
    int reused = -1;
    SUCCEEDS(scan_bytes("hello", 5, close_it, NULL, NULL, &error));

    make_file("other", "survives", 8);
    SUCCEEDS(scan_bytes("hello", 5, close_and_reuse, &reused, NULL, &error));
    CHECK(holds(reused, "survives", 8));
    close(reused);

    bytefd_scan *scan;
    int fd = SUCCEEDS(bytefd_scan_begin("hello", 5, NULL, &scan, &error));
    close_and_reuse(fd, &reused);
    CHECK_EQUAL(bytefd_scan_end(scan), 0);
    CHECK(holds(reused, "survives", 8));
    close(reused);

    fd = SUCCEEDS(bytefd_scan_begin("hello", 5, NULL, &scan, &error));
    close(fd);
    CHECK_EQUAL(bytefd_scan_end(scan), 0);
    unlink("other");
}

static int keep_it(int fd, void *context)
{
    struct visit *visit = context;
    visit->kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    visit->map = mmap(NULL, 5, PROT_READ, MAP_SHARED, fd, 0);
    return 0;
}

static void what_a_function_keeps_stays_as_it_is(void)
{
    struct visit first, second;
    SUCCEEDS(scan_bytes("first", 5, keep_it, &first, NULL, &error));
    SUCCEEDS(scan_bytes("other", 5, keep_it, &second, NULL, &error));
    CHECK(holds(first.kept, "first", 5) && holds(second.kept, "other", 5));
    CHECK(memcmp(first.map, "first", 5) == 0 && memcmp(second.map, "other", 5) == 0);
    munmap(first.map, 5);
    munmap(second.map, 5);
    close(first.kept);
    close(second.kept);
}

/* Scans the text without its first byte within the scan of the text; each level must still see its own. */
static int scan_the_rest(int fd, void *context)
{
    const char *text = context;
    size_t length = strlen(text);
    CHECK(holds(fd, text, length));
    int status = length == 0 ? 0 : scan_bytes(text + 1, length - 1, scan_the_rest, (void *)(text + 1), NULL, NULL);
    CHECK(holds(fd, text, length));
    return status;
}

static void scans_nest(void)
{
    char text[] = "nested";
    SUCCEEDS(scan_bytes(text, strlen(text), scan_the_rest, text, NULL, &error));
}

static void two_steps_do_what_one_does(void)
{
    bytefd_scan *scan = NULL, *inner = NULL;
    int fd = SUCCEEDS(bytefd_scan_begin("hello", 5, NULL, &scan, &error));
    int other = SUCCEEDS(bytefd_scan_begin("", 0, NULL, &inner, &error));
    CHECK(scan != NULL && inner != NULL && scan != inner && fd != other && fd > 2);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    /* Not only the last one begun can be ended. */
    CHECK_EQUAL(bytefd_scan_end(scan), 0);
    CHECK(!is_open(fd) && holds(other, "", 0));
    CHECK_EQUAL(bytefd_scan_end(inner), 0);
    CHECK(!is_open(other));
    CHECK_EQUAL(bytefd_scan_end(NULL), 0);

    fd = bytefd_scan_begin(NULL, 0, NULL, &scan, NULL);
    CHECK(holds(fd, "", 0));
    CHECK_EQUAL(bytefd_scan_end(scan), 0);
}

static void a_scan_that_does_not_begin_leaves_the_handle_alone(void)
{
    bytefd_scan *const untouched = (bytefd_scan *)&error, *scan = untouched;
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    FAILS(bytefd_scan_begin("x", 1, NULL, NULL, &error), EINVAL, "scan");
    FAILS(bytefd_scan_begin(NULL, 1, NULL, &scan, &error), EINVAL, "buf");
    FAILS(bytefd_scan_begin("x", SIZE_MAX, NULL, &scan, &error), EINVAL, "len");
    options.size = 0;
    FAILS(bytefd_scan_begin("x", 1, &options, &scan, &error), EINVAL, "options");
    CHECK_EQUAL(bytefd_scan_begin(NULL, 1, NULL, &scan, NULL), -EINVAL);
    CHECK(scan == untouched);
}

enum { THREADS = 8, ROUNDS = 50 };

/* Returns NULL if all went well. Different contents and lengths in every thread and round, and every other scan in two
 * steps; the buffer is overwritten at once, so that a file that is shared would show it. */
static void *scan_many(void *context)
{
    unsigned thread = *(unsigned *)context;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t length = (size_t)thread * 1000 + round * 37;
        unsigned char *bytes = pattern(length, thread * ROUNDS + round);
        struct visit visit = {.expected = bytes, .length = length};
        bytefd_error mine;
        int status;
        if (round % 2 == 0) {
            status = scan_bytes(bytes, length, look_at, &visit, NULL, &mine);
        } else {
            bytefd_scan *scan;
            int fd = bytefd_scan_begin(bytes, length, NULL, &scan, &mine);
            status = fd < 0 ? fd : look_at(fd, &visit);
            if (fd >= 0)
                bytefd_scan_end(scan);
        }
        memset(bytes, 0, length);
        free(bytes);
        if (status != 0 || !visit.same || visit.calls != 1)
            return "wrong";
    }
    return NULL;
}

static void threads_scan_at_the_same_time(void)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_EQUAL(pthread_create(&threads[i], NULL, scan_many, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *problem;
        CHECK_EQUAL(pthread_join(threads[i], &problem), 0);
        CHECK(problem == NULL);
    }
}

const struct test scan_tests[] = {
    TEST(the_function_sees_the_bytes_once_and_the_descriptor_is_closed),
    TEST(what_the_function_returns_is_in_the_error),
    TEST(without_a_descriptor_the_function_is_not_called),
    TEST(options_count_for_scans_too),
    TEST(a_function_may_close_the_descriptor_itself),
    TEST(what_a_function_keeps_stays_as_it_is),
    TEST(scans_nest),
    TEST(two_steps_do_what_one_does),
    TEST(a_scan_that_does_not_begin_leaves_the_handle_alone),
    TEST(threads_scan_at_the_same_time),
    {NULL, NULL},
};
