/* A cancel never takes effect inside the library, but in the callback of a scan, where the descriptor is closed. */
#define _GNU_SOURCE
#include <bytefd.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/socket.h>
#include <sys/file.h>
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

static int descriptor = -1;
static int status = -1;

/* The cancel is pending when the functions are called. */
static void *pending(void *unused)
{
    bytefd_map *map = NULL;
    (void)unused;
    pthread_cancel(pthread_self());
    descriptor = shm_wrap_buffer("abc", 3, NULL, NULL);
    status = map_file("/bin/sh", NULL, &map, NULL);
    CHECK(descriptor >= 0 && status == 0 && bytefd_map_close(map) == 0);

    int ends[2], got;
    char message[5];
    size_t length = sizeof message, count = 1;
    bytefd_credentials peer = BYTEFD_CREDENTIALS_INIT;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(bytefd_verify(descriptor, NULL, NULL) == 0 && bytefd_peer_credentials(ends[0], &peer, NULL) == 0);
    CHECK(bytefd_send(ends[0], "hello", 5, &descriptor, 1, NULL, NULL) == 0);
    CHECK(bytefd_receive(ends[1], message, &length, &got, &count, NULL, NULL, NULL) == 0 && count == 1);
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static int pipe_ends[2];
static int is_reading;

/* What waits for the pipe, in every way: read(2), poll(2), and into the file of a pool. */
struct wait {
    int scans;
    bytefd_wrap_options wrap;
    bytefd_stream_options stream;
};
/* Neither a message that comes nor one that goes. */
static void *receiving(void *unused)
{
    char message[5];
    size_t length = sizeof message, count = 1;
    (void)unused;
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    status = bytefd_receive(pipe_ends[0], message, &length, &descriptor, &count, NULL, NULL, NULL);
    CHECK(status == 0 && length == 5 && count == 1);
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static void *sending(void *message)
{
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    status = bytefd_send(pipe_ends[0], message, 1 << 20, NULL, 0, NULL, NULL);
    CHECK(status == 0);
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

/* What ends the wait. */
static void send_to_it(void)
{
    int fd = shm_wrap_buffer("abc", 3, NULL, NULL);
    CHECK(bytefd_send(pipe_ends[1], "hello", 5, &fd, 1, NULL, NULL) == 0 && close(fd) == 0);
}

static void receive_from_it(void)
{
    static char message[1 << 20];
    size_t length = sizeof message, count = 0;
    CHECK(bytefd_receive(pipe_ends[1], message, &length, NULL, &count, NULL, NULL, NULL) == 0);
    CHECK(length == sizeof message && message[length - 1] == 'x');
}

static void write_to_it(void)
{
    CHECK(write(pipe_ends[1], "abc", 3) == 3 && close(pipe_ends[1]) == 0);
}

static void *blocked(void *argument)
{
    struct wait *wait = argument;
    bytefd_scan *lent = NULL;
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    if (wait->scans) {
        int fd = bytefd_scan_begin_stream(pipe_ends[0], &wait->wrap, &wait->stream, &lent, NULL);
        descriptor = fd < 0 ? fd : dup(fd);
        CHECK(bytefd_scan_end(lent) == 0);
    } else {
        descriptor = bytefd_wrap_stream(pipe_ends[0], &wait->wrap, &wait->stream, NULL);
    }
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static int until[2];

/* A child that has the memory mapped keeps the seal waiting. */
static void *sealing(void *map)
{
    pid_t child;
    CHECK(pipe(until) == 0 && (child = fork()) >= 0);
    if (child == 0) {
        char byte;
        close(until[1]);
        _exit(read(until[0], &byte, 1) == 0 ? 0 : 1);
    }
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    descriptor = bytefd_map_seal(map, -1, NULL);
    status = 7;
    CHECK(waitpid(child, NULL, 0) == child);
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static int lent_to_scan = -1;

static int scan(int fd, void *context)
{
    (void)context;
    lent_to_scan = fd;
    pthread_cancel(pthread_self());
    pthread_testcancel();
    CHECK(!"cancelled");
    return 0;
}

static void *scanning(void *options)
{
    int rc = scan_bytes("abc", 3, scan, NULL, options, NULL);
    CHECK(rc == 0 && !"cancelled");
    return NULL;
}

/* With `end`, the thread is cancelled while it sleeps in a system call, which `end` then ends. */
static void run(void *(*thread)(void *), void *argument, void (*end)(void))
/* The cancel is pending when these are called; what they do is done all the same. */
static void *pending_in_names_and_waits(void *unused)
{
    bytefd_shm_options shm = BYTEFD_SHM_OPTIONS_INIT;
    bytefd_sysv_options sysv = BYTEFD_SYSV_OPTIONS_INIT;
    bytefd_tempfile *file = NULL;
    bytefd_map *map = NULL;
    char name[BYTEFD_SHM_NAME_SIZE], report[1024];
    (void)unused;
    pthread_cancel(pthread_self());
    shm.flags = BYTEFD_SHM_CREATE | BYTEFD_SHM_OWNED;
    shm.length = 5;
    int fd = bytefd_shm_open("cancel", &shm, name, sizeof name, NULL);
    CHECK(fd >= 0 && lseek(fd, 0, SEEK_END) == 5);
    CHECK(bytefd_file_lock(fd, 0, BYTEFD_UNLIMITED, LOCK_SH, -1, 0, NULL) == 0);
    CHECK(bytefd_file_unlock(fd, 0, BYTEFD_UNLIMITED, NULL) == 0);
    CHECK(bytefd_shm_unlink(name, NULL) == 0);
    CHECK(bytefd_export_dmabuf(fd, NULL) < 0);
    CHECK(bytefd_tempfile_create("abc", 3, NULL, &file, NULL) == 0 && access(bytefd_tempfile_path(file), R_OK) == 0);
    CHECK(bytefd_tempfile_close(file) == 0);
    CHECK(bytefd_sweep(NULL, NULL) >= 0);
    sysv.flags = BYTEFD_SYSV_CREATE;
    sysv.access = BYTEFD_MAP_WRITE;
    sysv.length = 5;
    int shmid = -1;
    CHECK(bytefd_map_sysv(IPC_PRIVATE, &sysv, &map, &shmid, NULL) == 0);
    CHECK(bytefd_futex_wait(bytefd_map_data(map), 1, -1, 0, NULL) == 0);
    CHECK(bytefd_futex_wake(bytefd_map_data(map), 1, NULL) == 0);
    CHECK(bytefd_sysv_remove(shmid, NULL) == 0 && bytefd_map_close(map) == 0);
    CHECK(bytefd_host_report(report, sizeof report, NULL) == 0);
    descriptor = fd;
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static int locked = -1;
static uint32_t word;

static void *blocked_in_lock(void *unused)
{
    (void)unused;
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    descriptor = bytefd_reopen(locked, NULL);
    CHECK(bytefd_file_lock(descriptor, 0, 1, LOCK_SH, -1, 0, NULL) == 0);
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static void *blocked_in_futex(void *unused)
{
    (void)unused;
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        CHECK(bytefd_futex_wait(&word, 0, -1, 0, NULL) == 0);
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static void unlock(void)
{
    CHECK(bytefd_file_unlock(locked, 0, 1, NULL) == 0);
}

static void wake(void)
{
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    /* It may not wait yet, or not any more. */
    bytefd_futex_wake(&word, UINT32_MAX, NULL);
}

/* Cancels a thread that sleeps in the library, and then ends what it waits for. */
static void cancel_while_blocked(void *(*thread)(void *), void (*release)(void))
{
    pthread_t id;
    void *result = NULL;
    char path[64], line[256] = "";
    is_reading = status = 0;
    CHECK(pthread_create(&id, NULL, thread, NULL) == 0);
    while (__atomic_load_n(&is_reading, __ATOMIC_SEQ_CST) == 0)
        usleep(100);
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", is_reading);
    while (strstr(line, ") S ") == NULL) {
        FILE *stat = fopen(path, "r");
        CHECK(stat != NULL && fgets(line, sizeof line, stat) != NULL);
        fclose(stat);
    }
    pthread_cancel(id);
    usleep(30000);
    CHECK(status == 0);
    release();
    CHECK(pthread_join(id, &result) == 0 && result == PTHREAD_CANCELED && status == 7);
}

{
    pthread_t id;
    void *result = NULL;
    is_reading = 0;
    CHECK(pthread_create(&id, NULL, thread, argument) == 0);
    if (thread == blocked || thread == sealing) {
    if (end != NULL) {
        /* Until it sleeps. */
        char path[64], line[64] = "";
        while (__atomic_load_n(&is_reading, __ATOMIC_SEQ_CST) == 0)
            usleep(100);
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", is_reading);
        while (strstr(line, ") S ") == NULL) {
            FILE *stat = fopen(path, "r");
            CHECK(stat != NULL && fgets(line, sizeof line, stat) != NULL);
            fclose(stat);
        }
        pthread_cancel(id);
        if (thread == blocked)
            CHECK(write(pipe_ends[1], "abc", 3) == 3 && close(pipe_ends[1]) == 0);
        else
            CHECK(close(until[1]) == 0 && close(until[0]) == 0);
        end();
    }
    CHECK(pthread_join(id, &result) == 0 && result == PTHREAD_CANCELED);
}

int main(void)
{
    bytefd_wrap_options pooled = BYTEFD_WRAP_OPTIONS_INIT;
    int before = open_descriptors();

    run(pending, NULL, NULL);
    CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0);
    before = open_descriptors(); /* the ends of a socket, and what was received */

    CHECK(bytefd_pool_create(NULL, &pooled.pool, NULL) == 0);
    for (int way = 0; way < 6; way++) {
        bytefd_wrap_options plain = BYTEFD_WRAP_OPTIONS_INIT;
        struct wait wait = {way / 2, way / 2 == 2 ? pooled : plain, BYTEFD_STREAM_OPTIONS_INIT};
        if (way % 2)
            wait.stream.timeout_ns = 600 * 1000000000LL;
        CHECK(pipe(pipe_ends) == 0);
        is_reading = 0;
        status = 0;
        run(blocked, &wait);
        CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0 && close(pipe_ends[0]) == 0);
    }
    CHECK(bytefd_pool_close(pooled.pool) == 0 && open_descriptors() == before);
    pooled.pool = NULL;
    run(blocked, NULL, write_to_it);

    char *message = malloc(1 << 20);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipe_ends) == 0 && message != NULL);
    status = 0;
    run(sending, memset(message, 'x', 1 << 20), receive_from_it);
    CHECK(status == 7 && close(pipe_ends[0]) == 0 && close(pipe_ends[1]) == 0);
    free(message);
    run(receiving, NULL, send_to_it);
    CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0);
    run(pending_in_names_and_waits, NULL);
    CHECK(status == 7 && close(descriptor) == 0);

    bytefd_wrap_options writable = BYTEFD_WRAP_OPTIONS_INIT;
    writable.flags = BYTEFD_WRITABLE;
    locked = bytefd_wrap_buffer("abc", 3, &writable, NULL);
    CHECK(bytefd_file_lock(locked, 0, 1, LOCK_EX, -1, 0, NULL) == 0);
    cancel_while_blocked(blocked_in_lock, unlock);
    CHECK(close(descriptor) == 0 && close(locked) == 0);
    cancel_while_blocked(blocked_in_futex, wake);

    bytefd_map *map = NULL;
    CHECK(bytefd_map_memory(3, NULL, &map, NULL) == 0);
    status = is_reading = descriptor = 0;
    run(sealing, map);
    CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0 && bytefd_map_close(map) == 0);

    run(scanning, NULL, NULL);
    CHECK(lent_to_scan >= 0 && open_descriptors() == before);
    CHECK(bytefd_pool_create(NULL, &pooled.pool, NULL) == 0);
    CHECK(bytefd_pool_close(pooled.pool) == 0);
    run(scanning, &pooled, NULL);
    run(scanning, &pooled, NULL);
    CHECK(open_descriptors() == before);
    return 0;
}
