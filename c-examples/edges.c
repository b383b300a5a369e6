/*
 * edges: shows what happens at the edges of a map, and which protections each mode of open(2)
 * allows.
 *
 *     cc -std=c11 edges.c -o edges $(pkg-config --cflags --libs bytefd)
 *     ./edges FILE
 *
 * FILE must not exist; it is created, and removed at the end. A file is mapped in whole pages.
 * Bytes after the end of the map, in its last page, can still be accessed. Bytes after the end of
 * the file, in its last page, read zero, and stores to them do not reach the file. A page entirely
 * after the end of the file raises SIGBUS; an address that is not mapped raises SIGSEGV.
 *
 * Exit status: 0, or 1 on failure.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t page;

static size_t whole_pages(size_t length)
{
    return (length + page - 1) / page * page;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

/*
 * Creates the file again, full of dots, and maps it. Reserves the address space after the map, so
 * that nothing else is mapped there.
 */
static bytefd_map *make_and_map(const char *file, size_t size, size_t length)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_error error;
    bytefd_map *map;

    FILE *stream = fopen(file, "we");
    for (size_t i = 0; stream != NULL && i < size; i++)
        putc('.', stream);
    if (stream == NULL || fclose(stream) != 0)
        fail(file);
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_BEYOND_EOF;
    options.length = length;
    options.reserve = whole_pages(length) + page;
    if (map_file(file, &options, &map, &error) < 0)
        fail(error.message);
    return map;
}

/* Returns what happens to a byte that a child stores; the child may be killed. */
static const char *fate(bytefd_map *map, size_t at)
{
    volatile char *byte = (volatile char *)bytefd_map_data(map) + at;
    char stored = 0;
    int status;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        int was_zero = *byte == 0;
        *byte = '!';
        _exit(was_zero);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        fail("a child");
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGBUS    ? "SIGBUS"
               : WTERMSIG(status) == SIGSEGV ? "SIGSEGV"
                                             : "another signal";
    int fd = bytefd_map_descriptor(map, NULL);
    int is_in_file = pread(fd, &stored, 1, (off_t)at) == 1 && stored == '!';
    *byte = WEXITSTATUS(status) == 1 ? 0 : '.';
    return is_in_file ? "in the file" : *byte == 0 ? "zero, not in the file" : "something else";
}

static void walk(const char *file, size_t size, size_t length)
{
    bytefd_map *map = make_and_map(file, size, length);
    size_t ends[] = {size, length, whole_pages(size), whole_pages(length),
                     whole_pages(length) + page};
    size_t from = 0, at = 0;

    printf("a file of %zu bytes, mapped at %zu\n", size, length);
    while (at < ends[4]) {
        /* All bytes between two edges behave alike, so only the first and the last are tried. */
        size_t next = ends[4];
        for (int i = 0; i < 4; i++)
            if (ends[i] > at && ends[i] < next)
                next = ends[i];
        const char *all = fate(map, at);
        if (strcmp(all, fate(map, next - 1)) != 0)
            all = "not all alike";
        at = next;
        if (at == ends[4]) {
            printf("  %5zu and on:    %s\n", from, all);
        } else if (strcmp(all, fate(map, at)) != 0) {
            printf("  %5zu to %5zu:  %s\n", from, at - 1, all);
            from = at;
        }
    }
    bytefd_map_close(map);
}

static void grow(const char *file)
{
    size_t sizes[] = {0, 1, page, page + 1, 10 * page, 999 * page + 1};
    bytefd_map *map = make_and_map(file, 0, 1000 * page);

    printf("an empty file, mapped at 1000 pages, and made larger\n");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t end = whole_pages(sizes[i]);
        if (truncate(file, (off_t)sizes[i]) < 0)
            fail("truncate");
        printf("  %7zu bytes:  ", sizes[i]);
        if (end > 0)
            printf("byte 0: %s; byte %zu: %s; ", fate(map, 0), end - 1, fate(map, end - 1));
        printf("byte %zu: %s\n", end, fate(map, end));
    }
    bytefd_map_close(map);
}

static void protect(const char *file)
{
    static const struct {
        const char *name;
        int flags, mode;
    } ways[] = {
        {"shared O_RDONLY", MAP_SHARED, O_RDONLY},
        {"shared O_WRONLY", MAP_SHARED, O_WRONLY},
        {"shared O_RDWR", MAP_SHARED, O_RDWR},
        {"private O_RDONLY", MAP_PRIVATE, O_RDONLY},
    };
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE};

    printf("%-20s%-8s%-8s%-8s%s\n", "mmap(2) answers", "none", "read", "write", "read+write");
    for (int i = 0; i < 4; i++) {
        int fd = open(file, ways[i].mode | O_CLOEXEC);
        if (fd < 0)
            fail("open");
        printf("  %-18s", ways[i].name);
        for (int j = 0; j < 4; j++) {
            void *mapped = mmap(NULL, page, protections[j], ways[i].flags, fd, 0);
            const char *reason = errno == EACCES ? "EACCES" : strerror(errno);
            printf(j < 3 ? "%-8s" : "%s\n", mapped != MAP_FAILED ? "ok" : reason);
            if (mapped != MAP_FAILED)
                munmap(mapped, page);
        }
        close(fd);
    }
}

int main(int argc, char **argv)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        fprintf(stderr, "usage: %s FILE (must not exist)\n", argv[0]);
        return 2;
    }
    close(fd);
    walk(argv[1], 5000, 5000);
    walk(argv[1], 5000, 15000);
    walk(argv[1], 9500, 6000);
    walk(argv[1], 2200, 6000);
    grow(argv[1]);
    protect(argv[1]);
    return unlink(argv[1]) != 0;
}
