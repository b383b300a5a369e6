/*
 * recvfile: receives a file from a socket into a map of the file, without a buffer in between.
 *
 *     cc -std=c11 recvfile.c -o recvfile $(pkg-config --cflags --libs bytefd)
 *     ./recvfile FILE
 *
 * Standard input is the socket, as inetd and systemd pass it. The sender sends the file's length,
 * as 8 bytes with the highest first, and then its bytes. FILE is created, or overwritten. Exit
 * status: 0, or 1 if bytes are missing or cannot be stored.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Receives up to `length` bytes: fewer if the stream ends or a read fails. Returns their number. */
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
        fprintf(stderr, "%s: no length received\n", argv[0]);
        return 1;
    }
    for (size_t i = 0; i < sizeof header; i++)
        options.file_size = options.file_size << 8 | header[i];

    /* This reserves space for new bytes, so that a full disk is an error here and not a signal. */
    size_t length = (size_t)options.file_size;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    if (map_file(argv[1], &options, &map, &error) < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return 1;
    }
    size_t received = receive(STDIN_FILENO, bytefd_map_data(map), length);
    if (received < length)
        fprintf(stderr, "%s: only %zu of %zu bytes received\n", argv[0], received, length);
    /* This cuts off the bytes that were not received, and the rest of a longer file. */
    int status = bytefd_map_resize(map, received, &error);
    if (status == 0)
        status = bytefd_map_flush(map, 0, BYTEFD_TO_END, MS_SYNC, &error);
    if (status < 0)
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
    bytefd_map_close(map);
    return status < 0 || received < length;
}
