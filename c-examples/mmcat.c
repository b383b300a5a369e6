/*
 * mmcat: writes files to standard output, like cat, but maps them instead of reading them.
 *
 *     cc -std=c11 mmcat.c -o mmcat $(pkg-config --cflags --libs bytefd)
 *     ./mmcat FILE...
 *
 * If a file cannot be mapped, or another process truncates it during the write, mmcat names it on
 * standard error, writes the other files, and exits with 1. A program that reads lost bytes gets
 * SIGBUS (or zeros, with BYTEFD_MAP_GUARD). mmcat only passes them to write(2), which fails with
 * EFAULT.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Writes all bytes. A single write(2) may write fewer, for example to a pipe, and a signal may
 * interrupt it. Returns 0 or -1.
 */
static int write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(fd, bytes, length);
        if (count < 0 && errno != EINTR)
            return -1;
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    int status = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        bytefd_map *map;
        bytefd_error error;

        if (map_file(argv[i], NULL, &map, &error) < 0) {
            /* The message names the file. */
            fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
            status = 1;
            continue;
        }
        /* An empty file gives a map of length 0, which needs no special treatment. */
        int written = write_all(STDOUT_FILENO, bytefd_map_data(map), bytefd_map_length(map));
        int reason = errno;
        bytefd_map_close(map);
        if (written < 0 && reason == EFAULT) {
            fprintf(stderr, "%s: %s: became shorter while it was written\n", argv[0], argv[i]);
            status = 1;
        } else if (written < 0) {
            fprintf(stderr, "%s: standard output: %s\n", argv[0], strerror(reason));
            return 1;
        }
    }
    return status;
}
