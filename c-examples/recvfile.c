/*
 * recvfile: receives a file from a socket straight into the file's map, with no buffer in between.
 *
 *     cc -std=c11 recvfile.c -o recvfile $(pkg-config --cflags --libs bytefd)
 *     ./recvfile FILE
 *
 * Standard input is the socket, as inetd and systemd give it. First comes the file's length, 8
 * bytes with the highest first, then its bytes. FILE is made, or replaced. Exit status: 0; 1 if not
 * all came, or it cannot be stored.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How many bytes came, up to `length`: fewer where the sender ends, or reading fails. */
static size_t receive(int fd, void *to, size_t length)
{
    size_t received = 0;
    while (received < length) {
        ssize_t count = read(fd, (char *)to + received, length - received);
        if (count > 0)
            received += (size_t)count;
        else if (count == 0 || errno != EINTR)
            break;
    }
    return received;
}

int main(int argc, char **argv)
{
    unsigned char header[8];
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_error error;
    bytefd_map *map;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE < SOCKET\n", argv[0]);
        return 2;
    }
    if (receive(STDIN_FILENO, header, sizeof header) < sizeof header) {
        fprintf(stderr, "%s: no length came\n", argv[0]);
        return 1;
    }
    for (size_t i = 0; i < sizeof header; i++)
        options.file_size = options.file_size << 8 | header[i];

    /* Its space is reserved: a full disk is an error here, and no signal later. */
    size_t length = (size_t)options.file_size;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    if (map_file(argv[1], &options, &map, &error) < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return 1;
    }
    size_t received = receive(STDIN_FILENO, bytefd_map_data(map), length);
    if (received < length)
        fprintf(stderr, "%s: only %zu of %zu bytes came\n", argv[0], received, length);
    /* What did not come is cut off, and so is the rest of a longer file that was there. */
    int status = bytefd_map_resize(map, received, &error);
    if (status == 0)
        status = bytefd_map_flush(map, 0, BYTEFD_TO_END, MS_SYNC, &error);
    if (status < 0)
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
    bytefd_map_close(map);
    return status < 0 || received < length;
}
