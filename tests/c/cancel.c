/*
 * Tests cancellation. It never takes effect in a function of the library that waits. In the
 * callback of a scan it always does, and the descriptor is closed. (In calls.c it is pending before
 * each call.)
 */
#define _GNU_SOURCE
#include <bytefd.h>
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

static int open_descriptors(void)
{
    int count = 0;
    DIR *entries = opendir("/proc/self/fd");
    while (entries != NULL && readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

/* A thread that waits. */
struct waiter {
    void (*wait)(void);
    int id;
    bool returned;
};

static void *run(void *argument)
{
    struct waiter *waiter = argument;
    __atomic_store_n(&waiter->id, gettid(), __ATOMIC_SEQ_CST);
    waiter->wait();
    waiter->returned = true;
    pthread_testcancel();
    return NULL;
}

static bool sleeps(int thread)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *stat = fopen(path, "r");
    CHECK(stat != NULL && fgets(line, sizeof line, stat) != NULL && fclose(stat) == 0);
    return strstr(line, ") S ") != NULL;
}

/*
 * Cancels a thread that sleeps in `wait`, and then ends the wait by `end`. Without an `end` the
 * cancellation must end the wait.
 */
static void cancel(void (*wait)(void), void (*end)(void))
{
    struct waiter waiter = {wait, 0, false};
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, run, &waiter) == 0);
    while (__atomic_load_n(&waiter.id, __ATOMIC_SEQ_CST) == 0 || !sleeps(waiter.id))
        usleep(100);
    CHECK(pthread_cancel(thread) == 0);
    if (end != NULL)
        end();
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK(waiter.returned == (end != NULL));
}

/* The time limit of all waits. */
static int64_t timeout_ns;
/* The result of a wait. */
static int answer;

static void check_answer(void)
{
    CHECK(lseek(answer, 0, SEEK_END) == 3 && close(answer) == 0);
}

/* The ends of a pipe or a connection. The first is the waiter's. */
static int ends[2];

/* Streams -------------------------------------------------------------------------------------- */

static bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;

static void wrap_stream(void)
{
    bytefd_stream_options stream = BYTEFD_STREAM_OPTIONS_INIT;
    stream.timeout_ns = timeout_ns;
    answer = bytefd_wrap_stream(ends[0], NULL, &stream, NULL);
}

static void scan_stream(void)
{
    bytefd_stream_options stream = BYTEFD_STREAM_OPTIONS_INIT;
    bytefd_scan *scan;
    stream.timeout_ns = timeout_ns;
    int lent = bytefd_scan_begin_stream(ends[0], &options, &stream, &scan, NULL);
    CHECK(lent >= 0);
    answer = dup(lent);
    CHECK(bytefd_scan_end(scan) == 0);
}

static void end_stream(void)
{
    CHECK(write(ends[1], "abc", 3) == 3 && close(ends[1]) == 0);
}

static void cancel_stream(void (*wait)(void))
{
    CHECK(pipe(ends) == 0);
    cancel(wait, end_stream);
    check_answer();
    CHECK(close(ends[0]) == 0);
}

/* Messages ------------------------------------------------------------------------------------- */

static char sent[1 << 20], received[1 << 20];

static void send_much(void)
{
    bytefd_transfer_options transfer = BYTEFD_TRANSFER_OPTIONS_INIT;
    transfer.timeout_ns = timeout_ns;
    CHECK(bytefd_send(ends[0], sent, sizeof sent, NULL, 0, &transfer, NULL) == 0);
}

static void receive_much(void)
{
    size_t length = sizeof received, count = 0;
    CHECK(bytefd_receive(ends[1], received, &length, NULL, &count, NULL, NULL, NULL) == 0);
    CHECK(length == sizeof sent && memcmp(sent, received, length) == 0);
}

static void receive(void)
{
    bytefd_transfer_options transfer = BYTEFD_TRANSFER_OPTIONS_INIT;
    size_t length = 5, count = 1;
    transfer.timeout_ns = timeout_ns;
    CHECK(bytefd_receive(ends[0], received, &length, &answer, &count, NULL, &transfer, NULL) == 0);
    CHECK(length == 5 && count == 1);
}

static void send_descriptor(void)
{
    int fd = bytefd_wrap_buffer("abc", 3, NULL, NULL);
    CHECK(bytefd_send(ends[1], "hello", 5, &fd, 1, NULL, NULL) == 0 && close(fd) == 0);
}

static void cancel_messages(void)
{
    memset(sent, 'x', sizeof sent);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    cancel(send_much, receive_much);
    cancel(receive, send_descriptor);
    check_answer();
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* Maps ----------------------------------------------------------------------------------------- */

static bytefd_map *map;
static pid_t child;

static void seal(void)
{
    answer = bytefd_map_seal(map, timeout_ns, NULL);
}

static void end_child(void)
{
    CHECK(close(ends[1]) == 0 && waitpid(child, NULL, 0) == child);
}

/* A child that has the memory mapped keeps the seal waiting. */
static void cancel_seal(void)
{
    CHECK(bytefd_map_memory(3, NULL, &map, NULL) == 0 && pipe(ends) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[1]);
        _exit(read(ends[0], received, 1) == 0 ? 0 : 1);
    }
    cancel(seal, end_child);
    check_answer();
    CHECK(bytefd_map_close(map) == 0 && close(ends[0]) == 0);
}

/* Locks and words ------------------------------------------------------------------------------ */

static int locked;

static void lock(void)
{
    CHECK(bytefd_file_lock(answer, 0, 1, LOCK_SH, timeout_ns, 0, NULL) == 0);
}

static void unlock(void)
{
    CHECK(bytefd_file_unlock(locked, 0, 1, NULL) == 0);
}

static void cancel_lock(void)
{
    bytefd_wrap_options writable = BYTEFD_WRAP_OPTIONS_INIT;
    writable.flags = BYTEFD_WRITABLE;
    locked = bytefd_wrap_buffer("abc", 3, &writable, NULL);
    CHECK(bytefd_file_lock(locked, 0, 1, LOCK_EX, -1, 0, NULL) == 0);
    answer = bytefd_reopen(locked, 0, NULL);
    cancel(lock, unlock);
    check_answer();
    CHECK(close(locked) == 0);
}

static uint32_t word;

static void wait_for_word(void)
{
    CHECK(bytefd_futex_wait(&word, 0, timeout_ns, 0, NULL) == 0);
}

static void wake(void)
{
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    CHECK(bytefd_futex_wake(&word, 1, NULL) == 1);
}

static void cancel_futex(void)
{
    word = 0;
    cancel(wait_for_word, wake);
}

/* Callbacks ------------------------------------------------------------------------------------ */

static int read_end(int fd, void *unused)
{
    char byte;
    (void)unused;
    return lseek(fd, 0, SEEK_END) == 3 && read(ends[0], &byte, 1) == 1 ? 0 : 1;
}

static void scan(void)
{
    answer = bytefd_scan_bytes("abc", 3, read_end, NULL, &options, NULL);
}

static void cancel_callback(void)
{
    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    /* The pool has its file from now on. */
    scan();
    CHECK(answer == 0);
    int before = open_descriptors();
    cancel(scan, NULL);
    cancel(scan, NULL);
    CHECK(open_descriptors() == before && close(ends[0]) == 0 && close(ends[1]) == 0);
}

int main(void)
{
    const int64_t timeouts[] = {-1, 600 * 1000000000LL};
    int before = open_descriptors();
    for (int pooled = 0; pooled < 2; pooled++) {
        CHECK(!pooled || bytefd_pool_create(NULL, &options.pool, NULL) == 0);
        for (int i = 0; i < 2; i++) {
            timeout_ns = timeouts[i];
            cancel_stream(scan_stream);
        }
        cancel_callback();
        CHECK(bytefd_pool_close(options.pool) == 0);
    }
    for (int i = 0; i < 2; i++) {
        timeout_ns = timeouts[i];
        cancel_stream(wrap_stream);
        cancel_messages();
        cancel_seal();
        cancel_lock();
        cancel_futex();
    }
    CHECK(open_descriptors() == before);
    return 0;
}
