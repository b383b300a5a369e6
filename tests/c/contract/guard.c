/* Maps whose file another process makes shorter: guarded, and not. */
#define _GNU_SOURCE

#include "maps.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A page that its file has no more, mapped without the library. */
static char *lost_page(void)
{
    make_file("other", "hello", 5);
    int fd = open("other", O_RDWR | O_CLOEXEC);
    char *lost = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(lost != MAP_FAILED && ftruncate(fd, 0) == 0);
    close(fd);
    unlink("other");
    return lost;
}

static sigjmp_buf back;
static volatile sig_atomic_t handled;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    handled += number == SIGBUS && info->si_addr != NULL;
    siglongjmp(back, 1);
}

static void the_handler_before_is_called(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, current;
    CHECK_EQUAL(sigaction(SIGBUS, NULL, &current), 0);
    /* The library's handler is not there yet, so this is the one before. */
    CHECK(current.sa_handler == SIG_DFL);
    CHECK_EQUAL(sigaction(SIGBUS, &action, NULL), 0);
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_READ, BYTEFD_MAP_GUARD);
    char *lost = lost_page();
    for (int i = 1; i <= 2; i++) {
        if (sigsetjmp(back, 1) == 0)
            *(volatile char *)lost = 'x';
        CHECK_EQUAL(handled, i);
    }
    CHECK(map_holds(map, "hello", 5));
    SUCCEEDS(bytefd_map_check(map, &error));
    truncate_elsewhere("file", 0);
    CHECK(is_zero(bytefd_map_data(map), 5));
    CHECK_EQUAL(handled, 2);
    munmap(lost, page_size());
    bytefd_map_close(map);
    unlink("file");
}

/* This must be the first test that guards a map: the handler is installed once. */
static void faults_elsewhere_go_to_the_handler_before(void)
{
    IN_CHILD(the_handler_before_is_called);
}

static void lost_pages_of_a_guarded_map_are_zeros(void)
{
    size_t page = page_size(), size = 3 * page;
    unsigned char *bytes = pattern(size, 10);
    for (uint32_t access = BYTEFD_MAP_READ; access <= BYTEFD_MAP_PRIVATE; access++) {
        bytefd_map *map = map_new_file(bytes, size, access, BYTEFD_MAP_GUARD);
        char *data = bytefd_map_data(map);
        CHECK(map_holds(map, bytes, size));
        truncate_elsewhere("file", page);
        /* It says so when a page was replaced, not before. */
        CHECK_EQUAL(SUCCEEDS(bytefd_map_check(map, &error)), 0);
        CHECK(memcmp(data, bytes, page) == 0 && is_zero(data + page, 2 * page));
        FAILS(bytefd_map_check(map, &error), EIO, "check");
        CHECK_EQUAL(bytefd_map_check(map, NULL), -EIO);
        if (access != BYTEFD_MAP_READ) {
            data[2 * page] = 'x';
            CHECK_EQUAL(data[2 * page], 'x');
        }
        if (access != BYTEFD_MAP_PRIVATE)
            FAILS(bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, &error), EIO, NULL);
        if (access == BYTEFD_MAP_WRITE) {
            FAILS(bytefd_map_resize(map, 4 * page, &error), EIO, NULL);
            CHECK_EQUAL(bytefd_map_length(map), size);
        }
        CHECK_EQUAL(bytefd_map_close(map), 0);
        CHECK(file_holds("file", bytes, page));
        unlink("file");
    }
    free(bytes);
}

static void stores_to_lost_pages_of_a_guarded_map_go_nowhere(void)
{
    size_t page = page_size();
    unsigned char *bytes = pattern(page, 11);
    bytefd_map *map = map_new_file(bytes, page, BYTEFD_MAP_WRITE, BYTEFD_MAP_GUARD);
    truncate_elsewhere("file", 0);
    memcpy(bytefd_map_data(map), "hello", 5);
    CHECK(memcmp(bytefd_map_data(map), "hello", 6) == 0);
    FAILS(bytefd_map_check(map, &error), EIO, "check");
    /* The file may have a page there again: the map's stays what it is. */
    CHECK_EQUAL(truncate("file", (off_t)page), 0);
    CHECK(memcmp(bytefd_map_data(map), "hello", 6) == 0);
    bytefd_map_close(map);
    memset(bytes, 0, page);
    CHECK(file_holds("file", bytes, page));
    unlink("file");
    free(bytes);
}

static void lost_memory_is_not_sealed(void)
{
    if (!host_has_memfd())
        return;
    bytefd_map *map = map_memory(5, BYTEFD_MAP_WRITE, BYTEFD_MAP_GUARD);
    memcpy(bytefd_map_data(map), "hello", 5);
    CHECK_EQUAL(ftruncate(bytefd_map_descriptor(map, NULL), 0), 0);
    CHECK(is_zero(bytefd_map_data(map), 5));
    FAILS(bytefd_map_seal(map, &error), EIO, NULL);
    FAILS(bytefd_map_check(map, &error), EIO, "check");
    bytefd_map_close(map);
}

static void copies_end_where_the_pages_do(void)
{
    size_t page = page_size(), size = 3 * page, copied;
    unsigned char *bytes = pattern(size, 12), *buffer = malloc(size);
    for (uint32_t guard = 0; guard <= BYTEFD_MAP_GUARD; guard += BYTEFD_MAP_GUARD) {
        bytefd_map *map = map_new_file(bytes, size, BYTEFD_MAP_WRITE, guard);
        truncate_elsewhere("file", page + 10);
        SUCCEEDS(bytefd_map_read(map, 1, buffer, size - 1, &copied, &error));
        CHECK_EQUAL(copied, 2 * page - 1);
        CHECK(memcmp(buffer, bytes + 1, page + 9) == 0);
        /* The rest of the last page is what it always is behind the end of a file. */
        CHECK(is_zero(buffer + page + 9, page - 10));

        SUCCEEDS(bytefd_map_write(map, page, bytes, 2 * page, &copied, &error));
        CHECK_EQUAL(copied, page);
        truncate_elsewhere("file", page);
        copied = 77;
        FAILS(bytefd_map_read(map, page, buffer, 1, &copied, &error), EIO, "read");
        FAILS(bytefd_map_write(map, size - 1, bytes, 1, &copied, &error), EIO, "write");
        CHECK_EQUAL(copied, 77);
        SUCCEEDS(bytefd_map_read(map, page - 1, buffer, 2, &copied, &error));
        CHECK(copied == 1 && buffer[0] == bytes[page - 1]);
        /* No copy replaced a page. */
        SUCCEEDS(bytefd_map_check(map, &error));
        bytefd_map_close(map);
        CHECK(file_holds("file", bytes, page));
        unlink("file");
    }
    free(bytes);
    free(buffer);
}

static void only_a_guard_keeps_the_signal_away(void)
{
    for (uint32_t guard = 0; guard <= BYTEFD_MAP_GUARD; guard += BYTEFD_MAP_GUARD) {
        bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_WRITE, guard);
        truncate_elsewhere("file", 0);
        /* Children have their parent's guards. */
        CHECK_EQUAL(signal_of_load(bytefd_map_data(map)), guard ? 0 : SIGBUS);
        CHECK_EQUAL(signal_of_store(bytefd_map_data(map)), guard ? 0 : SIGBUS);
        /* What was replaced in a child is whole here. */
        CHECK_EQUAL(bytefd_map_check(map, NULL), 0);
        bytefd_map_close(map);
        unlink("file");
    }
    FAILS(bytefd_map_check(NULL, &error), EINVAL, "map");
    CHECK_EQUAL(bytefd_map_check(NULL, NULL), -EINVAL);
}

static void send_signal(void)
{
    raise(SIGBUS);
}

static void faults_that_no_guard_is_for_still_kill(void)
{
    bytefd_map *map = map_new_file("hello", 5, BYTEFD_MAP_READ, BYTEFD_MAP_GUARD);
    char *lost = lost_page();
    CHECK_EQUAL(signal_of_load(lost), SIGBUS);
    CHECK_EQUAL(signal_of_store(lost), SIGBUS);
    CHECK_EQUAL(signal_of_store(bytefd_map_data(map)), SIGSEGV);
    SUCCEEDS(bytefd_map_protect(map, 0, 0, BYTEFD_PROTECTION_NONE, &error));
    CHECK_EQUAL(signal_of_load(bytefd_map_data(map)), SIGSEGV);
    SUCCEEDS(bytefd_map_check(map, &error));

    /* A signal that was sent is no fault. */
    CHECK_EQUAL(signal_of(send_signal), SIGBUS);

    /* Nor is a map guarded that is closed, whoever has its place. */
    void *place = bytefd_map_data(map);
    bytefd_map_close(map);
    CHECK(mremap(lost, page_size(), page_size(), MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    CHECK_EQUAL(signal_of_load(place), SIGBUS);
    munmap(place, page_size());
    unlink("file");
}

enum { SHARED_PAGES = 200 };
static char *shared_data;
static atomic_int arrived;

/* Stores a byte of its own into every page, each as soon as the other thread is there too. */
static void *touch_every_page(void *thread)
{
    int own = *(int *)thread;
    for (int i = 0; i < SHARED_PAGES; i++) {
        atomic_fetch_add(&arrived, 1);
        while (atomic_load(&arrived) < 2 * (i + 1))
            sched_yield();
        ((volatile char *)shared_data)[(size_t)i * page_size() + (size_t)own] = 'x';
    }
    return NULL;
}

static void two_threads_may_find_a_page_lost_at_once(void)
{
    size_t page = page_size(), whole = 0;
    unsigned char *bytes = pattern(SHARED_PAGES * page, 13);
    bytefd_map *map = map_new_file(bytes, SHARED_PAGES * page, BYTEFD_MAP_WRITE, BYTEFD_MAP_GUARD);
    int numbers[2] = {0, 1};
    pthread_t threads[2];
    truncate_elsewhere("file", 0);
    shared_data = bytefd_map_data(map);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, touch_every_page, &numbers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    /* Replaced twice, a page would have lost one of the bytes. */
    for (size_t i = 0; i < SHARED_PAGES; i++)
        whole += memcmp(shared_data + i * page, "xx", 3) == 0;
    CHECK_EQUAL(whole, SHARED_PAGES);
    FAILS(bytefd_map_check(map, &error), EIO, "check");
    bytefd_map_close(map);
    unlink("file");
    free(bytes);
}

const struct test guard_tests[] = {
    TEST(faults_elsewhere_go_to_the_handler_before),
    TEST(lost_pages_of_a_guarded_map_are_zeros),
    TEST(stores_to_lost_pages_of_a_guarded_map_go_nowhere),
    TEST(lost_memory_is_not_sealed),
    TEST(copies_end_where_the_pages_do),
    TEST(only_a_guard_keeps_the_signal_away),
    TEST(faults_that_no_guard_is_for_still_kill),
    TEST(two_threads_may_find_a_page_lost_at_once),
    {NULL, NULL},
};
