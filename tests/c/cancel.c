/* A cancel never takes effect inside the library, but in the callback of a scan, where the descriptor is closed. */
#define _GNU_SOURCE
#include <bytefd.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    status = 7;
    pthread_testcancel();
    CHECK(!"cancelled");
    return NULL;
}

static int pipe_ends[2];
static int is_reading;

static void *blocked(void *unused)
{
    (void)unused;
    __atomic_store_n(&is_reading, gettid(), __ATOMIC_SEQ_CST);
    descriptor = bytefd_wrap_stream(pipe_ends[0], NULL, NULL);
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

static void run(void *(*thread)(void *), void *argument)
{
    pthread_t id;
    void *result = NULL;
    CHECK(pthread_create(&id, NULL, thread, argument) == 0);
    if (thread == blocked || thread == sealing) {
        /* Until it sleeps in read(2). */
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
    }
    CHECK(pthread_join(id, &result) == 0 && result == PTHREAD_CANCELED);
}

int main(void)
{
    bytefd_wrap_options pooled = BYTEFD_WRAP_OPTIONS_INIT;
    int before = open_descriptors();

    run(pending, NULL);
    CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0);

    CHECK(pipe(pipe_ends) == 0);
    status = 0;
    run(blocked, NULL);
    CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0 && close(pipe_ends[0]) == 0);

    bytefd_map *map = NULL;
    CHECK(bytefd_map_memory(3, NULL, &map, NULL) == 0);
    status = is_reading = descriptor = 0;
    run(sealing, map);
    CHECK(status == 7 && lseek(descriptor, 0, SEEK_END) == 3 && close(descriptor) == 0 && bytefd_map_close(map) == 0);

    run(scanning, NULL);
    CHECK(lent_to_scan >= 0 && open_descriptors() == before);
    CHECK(bytefd_pool_create(1 << 20, &pooled.pool, NULL) == 0);
    run(scanning, &pooled);
    run(scanning, &pooled);
    bytefd_pool_destroy(pooled.pool);
    CHECK(open_descriptors() == before);
    return 0;
}
