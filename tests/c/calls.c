/*
 * Every function of bytefd.h, called once with success and once with an error, as a C program does it: plain, and under what
 * watches memory (the sanitizers, valgrind). What the functions promise beyond that is proven elsewhere.
 *
 * Exit status 0 if all calls did what they should and no descriptor is left open. Standard output has a line for each call
 * that this host cannot answer.
 */
#define _GNU_SOURCE

#include <bytefd.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int failures;

static void check(bool holds, const char *text, int line)
{
    if (!holds) {
        failures++;
        fprintf(stderr, "line %d: does not hold: %s\n", line, text);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

/* Allocated, as the options are, so that a byte too many that is read or written there is noticed. */
static bytefd_error *error;

/* The call must succeed, with a value that is not negative, and leave the error alone. */
#define WORKS(call) (memset(error, 0x5a, sizeof *error), works((call), #call, __LINE__))
static int works(int result, const char *call, int line)
{
    bytefd_error untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    if (result < 0) {
        failures++;
        fprintf(stderr, "line %d: %s: %d, %s: %s\n", line, call, result, error->op, error->message);
    } else {
        check(memcmp(error, &untouched, sizeof untouched) == 0, call, line);
    }
    return result;
}

/* The call must fail with this errno, in this step (NULL: in any), and say so on one line. */
#define FAILS(call, errno_value, op) (memset(error, 0x5a, sizeof *error), fails((call), errno_value, op, #call, __LINE__))
static void fails(int result, int errno_value, const char *op, const char *call, int line)
{
    bool told = result == -errno_value && error->code == result && memchr(error->op, 0, sizeof error->op) &&
                memchr(error->message, 0, sizeof error->message) && error->message[0] && !strchr(error->message, '\n');
    check(told && (op == NULL || strcmp(error->op, op) == 0), call, line);
}

/* A struct with all defaults, allocated: NEW(bytefd_map_options, BYTEFD_MAP_OPTIONS_INIT). */
#define NEW(type, ...) ((type *)copied(&(type)__VA_ARGS__, sizeof(type)))
static void *copied(const void *value, size_t size)
{
    void *copy = malloc(size);
    return copy == NULL ? NULL : memcpy(copy, value, size);
}

/* Whether a descriptor has these bytes; closes it. */
static bool has(int fd, const char *text)
{
    char content[64] = "";
    ssize_t count = pread(fd, content, sizeof content - 1, 0);
    return close(fd) == 0 && count == (ssize_t)strlen(text) && strcmp(content, text) == 0;
}

static void wrapping(void)
{
    bytefd_wrap_options *options = NEW(bytefd_wrap_options, BYTEFD_WRAP_OPTIONS_INIT);
    struct iovec parts[] = {{"hel", 3}, {"lo", 2}};
    char path[32] = "";
    options->name = "label";
    int fd = WORKS(shm_wrap_buffer("hello", 5, options, error));
    FAILS(shm_wrap_buffer(NULL, 5, options, error), EINVAL, "buf");
    CHECK(has(WORKS(bytefd_wrap_iov(parts, 2, options, error)), "hello"));
    FAILS(bytefd_wrap_iov(NULL, 2, options, error), EINVAL, "iov");
    CHECK(has(WORKS(bytefd_reopen(fd, error)), "hello"));
    FAILS(bytefd_reopen(-1, error), EBADF, NULL);
    WORKS(bytefd_path(fd, path, sizeof path, error));
    CHECK(has(open(path, O_RDONLY | O_CLOEXEC), "hello"));
    FAILS(bytefd_path(fd, path, 1, error), ERANGE, "buf");
    WORKS(bytefd_verify(fd, NULL, error));
    bytefd_requirements *longer = NEW(bytefd_requirements, BYTEFD_REQUIREMENTS_INIT);
    longer->length = 6;
    FAILS(bytefd_verify(fd, longer, error), ENXIO, NULL);
    free(longer);
    CHECK(has(fd, "hello"));
    free(options);
}

static void streaming(void)
{
    bytefd_stream_options *options = NEW(bytefd_stream_options, BYTEFD_STREAM_OPTIONS_INIT);
    int pipes[2];
    CHECK(pipe2(pipes, O_CLOEXEC) == 0 && write(pipes[1], "hello", 5) == 5 && close(pipes[1]) == 0);
    CHECK(has(WORKS(bytefd_wrap_stream(pipes[0], options, error)), "hello"));
    close(pipes[0]);
    FAILS(bytefd_wrap_stream(-1, options, error), EBADF, NULL);
    free(options);
}

static int look(int fd, void *answer)
{
    char content[8] = "";
    CHECK(pread(fd, content, sizeof content, 0) == 5 && strcmp(content, "hello") == 0);
    return *(int *)answer;
}

static void scanning(void)
{
    bytefd_wrap_options *options = NEW(bytefd_wrap_options, BYTEFD_WRAP_OPTIONS_INIT);
    bytefd_pool_counts *counts = NEW(bytefd_pool_counts, BYTEFD_POOL_COUNTS_INIT);
    bytefd_scan *scan;
    int fine = 0, found = 7;
    WORKS(bytefd_pool_create(1 << 20, &options->pool, error));
    FAILS(bytefd_pool_create(1 << 20, NULL, error), EINVAL, "pool");
    WORKS(scan_bytes("hello", 5, look, &fine, options, error));
    FAILS(scan_bytes("hello", 5, look, &found, options, error), ECANCELED, "callback");
    CHECK(look(WORKS(bytefd_scan_begin("hello", 5, options, &scan, error)), &fine) == 0);
    FAILS(bytefd_scan_begin("hello", 5, options, NULL, error), EINVAL, "scan");
    CHECK(bytefd_scan_end(scan) == 0 && bytefd_scan_end(NULL) == 0);
    WORKS(bytefd_pool_stats(options->pool, counts, error));
    CHECK(counts->lent_again + counts->new_files == 3);
    FAILS(bytefd_pool_stats(options->pool, NULL, error), EINVAL, "counts");
    WORKS(bytefd_pool_trim(options->pool, 0, error));
    FAILS(bytefd_pool_trim(NULL, 0, error), EINVAL, "pool");
    bytefd_pool_destroy(options->pool);
    bytefd_pool_destroy(NULL);
    free(options);
    free(counts);
}

/* What all maps have, and what a map for writing of 5 bytes can do. */
static void using_a_map(bytefd_map *map)
{
    char buffer[5];
    size_t copied = 0;
    CHECK(bytefd_map_length(map) == 5 && bytefd_map_length(NULL) == 0);
    CHECK(bytefd_map_data(map) != NULL && bytefd_map_data(NULL) == NULL);
    WORKS(bytefd_map_write(map, 0, "hello", 5, &copied, error));
    FAILS(bytefd_map_write(map, 0, "hello", 5, NULL, error), EINVAL, "copied");
    WORKS(bytefd_map_read(map, 0, buffer, 5, &copied, error));
    FAILS(bytefd_map_read(map, 0, buffer, 6, &copied, error), EINVAL, "range");
    CHECK(copied == 5 && memcmp(buffer, "hello", 5) == 0 && memcmp(bytefd_map_data(map), "hello", 5) == 0);
    WORKS(bytefd_map_flush(map, 0, 5, BYTEFD_FLUSH_SYNC, error));
    FAILS(bytefd_map_flush(map, 0, 5, 4, error), EINVAL, "how");
    WORKS(bytefd_map_advise(map, 0, 5, BYTEFD_ADVICE_SEQUENTIAL, error));
    FAILS(bytefd_map_advise(map, 0, 5, 5, error), EINVAL, "advice");
    WORKS(bytefd_map_lock(map, 0, 5, error));
    FAILS(bytefd_map_lock(map, 0, 6, error), EINVAL, "range");
    WORKS(bytefd_map_unlock(map, 0, 5, error));
    FAILS(bytefd_map_unlock(map, 0, 6, error), EINVAL, "range");
    WORKS(bytefd_map_protect(map, 0, 5, BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_WRITE, error));
    FAILS(bytefd_map_protect(map, 0, 5, BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_EXECUTE, error), EACCES, "protection");
    WORKS(bytefd_map_prefetch(map, 0, 5, error));
    FAILS(bytefd_map_prefetch(map, 0, 6, error), EINVAL, "range");
    WORKS(bytefd_map_check(map, error));
    FAILS(bytefd_map_check(NULL, error), EINVAL, "map");
    WORKS(bytefd_map_resize(map, 10000, error));
    FAILS(bytefd_map_resize(map, SIZE_MAX, error), EINVAL, "resize");
    WORKS(bytefd_map_resize(map, 5, error));
    CHECK(memcmp(bytefd_map_data(map), "hello", 5) == 0);
}

static void mapping(void)
{
    char path[] = "/tmp/calls.XXXXXX";
    bytefd_map_options *options = NEW(bytefd_map_options, BYTEFD_MAP_OPTIONS_INIT);
    bytefd_map *map;
    int fd = mkostemp(path, O_CLOEXEC);
    options->access = BYTEFD_MAP_WRITE;
    options->file_size = 5;
    WORKS(map_file(path, options, &map, error));
    FAILS(map_file("/no/such/file", NULL, &map, error), ENOENT, NULL);
    using_a_map(map);
    CHECK(fcntl(WORKS(bytefd_map_descriptor(map, error)), F_GETFD) == FD_CLOEXEC);
    FAILS(bytefd_map_seal(map, error), EINVAL, NULL);
    WORKS(bytefd_map_unmap(map, 0, 0, error));
    FAILS(bytefd_map_unmap(map, 0, 6, error), EINVAL, "range");
    CHECK(bytefd_map_close(map) == 0 && bytefd_map_close(NULL) == 0);

    options->flags = BYTEFD_MAP_GUARD;
    WORKS(bytefd_map_fd(fd, options, &map, error));
    FAILS(bytefd_map_fd(-1, options, &map, error), EBADF, NULL);
    using_a_map(map);
    /* The page that is lost is replaced by zeros, under the sanitizers' own handlers too. */
    CHECK(ftruncate(fd, 0) == 0 && ((volatile char *)bytefd_map_data(map))[0] == 0);
    FAILS(bytefd_map_check(map, error), EIO, "check");
    CHECK(bytefd_map_close(map) == 0);
    CHECK(close(fd) == 0 && unlink(path) == 0);
    free(options);

    WORKS(bytefd_map_memory(5, NULL, &map, error));
    FAILS(bytefd_map_memory(5, NULL, NULL, error), EINVAL, "map");
    using_a_map(map);
    CHECK(has(WORKS(bytefd_map_seal(map, error)), "hello"));
    FAILS(bytefd_map_descriptor(map, error), EBADF, "descriptor");
    CHECK(bytefd_map_close(map) == 0);
}

/* The struct of a program that was compiled with the first version ends at 48, and behind it there is nothing. */
static void options_of_the_first_version(void)
{
    bytefd_map_options defaults = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_map *map;
    defaults.size = 48;
    bytefd_map_options *first = copied(&defaults, 48);
    WORKS(bytefd_map_memory(5, first, &map, error));
    CHECK(bytefd_map_close(map) == 0);
    free(first);
}

static void adopting(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *buffer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), seen[6] = "";
    int fd = WORKS(bytefd_adopt(buffer, page, error));
    FAILS(bytefd_adopt(buffer, page + 1, error), EINVAL, "length");
    strcpy(buffer, "hello");
    CHECK(pread(fd, seen, 6, 0) == 6 && strcmp(seen, "hello") == 0);
    CHECK(close(fd) == 0 && munmap(buffer, page) == 0);
}

static void sending(void)
{
    bytefd_requirements *sealed = NEW(bytefd_requirements, BYTEFD_REQUIREMENTS_INIT);
    bytefd_credentials *peer = NEW(bytefd_credentials, {0});
    int ends[2], fd = WORKS(shm_wrap_buffer("hello", 5, NULL, error)), got;
    size_t received;
    char message[4];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    WORKS(bytefd_send(ends[0], "four", 4, &fd, 1, error));
    FAILS(bytefd_send(ends[0], NULL, 4, &fd, 1, error), EINVAL, "message");
    FAILS(bytefd_receive(ends[1], message, 4, NULL, &got, 1, sealed, error), EINVAL, "received");
    WORKS(bytefd_receive(ends[1], message, 4, &received, &got, 1, sealed, error));
    CHECK(received == 4 && memcmp(message, "four", 4) == 0 && has(got, "hello"));
    WORKS(bytefd_peer(ends[0], peer, error));
    CHECK(peer->process == getpid() && peer->user == geteuid() && peer->group == getegid());
    FAILS(bytefd_peer(ends[0], NULL, error), EINVAL, "peer");
    CHECK(close(fd) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    free(sealed);
    free(peer);
}

static void naming(void)
{
    bytefd_shm_options *options = NEW(bytefd_shm_options, BYTEFD_SHM_OPTIONS_INIT);
    bytefd_linked_file *file;
    char name[64], *full_name = malloc(BYTEFD_SHM_NAME_SIZE);
    snprintf(name, sizeof name, "bytefd-calls-%d", (int)getpid());
    options->how = BYTEFD_SHM_CREATE;
    options->access = BYTEFD_MAP_WRITE;
    options->length = 5;
    int fd = WORKS(bytefd_shm_open(name, options, full_name, BYTEFD_SHM_NAME_SIZE, error));
    FAILS(bytefd_shm_open(name, options, full_name, BYTEFD_SHM_NAME_SIZE, error), EEXIST, NULL);
    CHECK(full_name[0] == '/' && strcmp(full_name + 1, name) == 0);
    CHECK(pwrite(fd, "hello", 5, 0) == 5 && has(fd, "hello"));
    WORKS(bytefd_shm_unlink(full_name, error));
    FAILS(bytefd_shm_unlink(full_name, error), ENOENT, NULL);
    free(options);
    free(full_name);

    WORKS(bytefd_link("hello", 5, ".txt", &file, error));
    FAILS(bytefd_link("hello", 5, "a/b", &file, error), EINVAL, NULL);
    CHECK(has(open(bytefd_link_path(file), O_RDONLY | O_CLOEXEC), "hello"));
    CHECK(bytefd_link_path(NULL) == NULL);
    CHECK(bytefd_link_release(file) == 0 && bytefd_link_release(NULL) == 0);

    WORKS(bytefd_shm_sweep(error));
}

/* A host may have no System V segments, and no driver that makes a dma-buf. */
static void sharing_the_old_way(void)
{
    bytefd_sysv_options *options = NEW(bytefd_sysv_options, BYTEFD_SYSV_OPTIONS_INIT);
    bytefd_map *map;
    int number;
    FAILS(bytefd_map_sysv(0, options, &map, &number, error), EINVAL, NULL);
    options->how = BYTEFD_SYSV_CREATE;
    options->access = BYTEFD_MAP_WRITE;
    options->length = 5;
    WORKS(bytefd_map_sysv(0, options, &map, &number, error));
    WORKS(bytefd_sysv_remove(number, error));
    strcpy(bytefd_map_data(map), "four");
    CHECK(bytefd_map_length(map) == 5 && bytefd_map_close(map) == 0);
    FAILS(bytefd_sysv_remove(-1, error), EINVAL, NULL);
    free(options);

    WORKS(bytefd_map_memory((size_t)sysconf(_SC_PAGESIZE), NULL, &map, error));
    int fd = bytefd_map_descriptor(map, NULL);
    FAILS(bytefd_export_dmabuf(fd, error), EINVAL, NULL);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    int buffer = bytefd_export_dmabuf(fd, error);
    if (buffer == -ENODEV || buffer == -EACCES)
        printf("SKIPPED: a dma-buf: %s\n", error->message);
    else
        CHECK(buffer >= 0 && close(buffer) == 0);
    CHECK(bytefd_map_close(map) == 0);
}

static void waiting(void)
{
    bytefd_map *map;
    WORKS(bytefd_map_memory(5, NULL, &map, error));
    int fd = bytefd_map_descriptor(map, NULL);
    WORKS(bytefd_lock(fd, 0, 5, BYTEFD_LOCK_EXCLUSIVE | BYTEFD_LOCK_TRY, error));
    FAILS(bytefd_lock(fd, 0, 5, 4, error), EINVAL, "how");
    WORKS(bytefd_unlock(fd, 0, 5, error));
    FAILS(bytefd_unlock(-1, 0, 5, error), EBADF, NULL);
    WORKS(bytefd_wait(bytefd_map_data(map), 1, -1, error));
    FAILS(bytefd_wait(bytefd_map_data(map), 0, 1, error), ETIMEDOUT, NULL);
    CHECK(WORKS(bytefd_wake(bytefd_map_data(map), 1, error)) == 0);
    FAILS(bytefd_wake(NULL, 1, error), EINVAL, "word");
    CHECK(bytefd_map_close(map) == 0);
}

static void reporting(void)
{
    char *report = malloc(1024);
    WORKS(bytefd_host_report(report, 1024, error));
    CHECK(strncmp(report, "files: ", 7) == 0);
    FAILS(bytefd_host_report(report, 1, error), ERANGE, "buf");
    free(report);
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *entries = opendir("/proc/self/fd");
    while (entries != NULL && readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

int main(void)
{
    int before = open_descriptors();
    error = malloc(sizeof *error);
    wrapping();
    streaming();
    scanning();
    mapping();
    options_of_the_first_version();
    adopting();
    sending();
    naming();
    sharing_the_old_way();
    waiting();
    reporting();
    free(error);
    CHECK(open_descriptors() == before);
    return failures == 0 ? 0 : 1;
}
