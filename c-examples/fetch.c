/*
 * fetch: connects to a Unix socket, is given a descriptor, and writes what is behind it to standard output – if nobody
 * can change it any more.
 *
 *     cc -std=c11 fetch.c -o fetch $(pkg-config --cflags --libs bytefd)
 *     ./fetch SOCKET
 *
 * The other end, serve.c for instance or a Go program, sends one byte with one descriptor.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bytefd_error error;
    bytefd_map *map;
    char message[1];
    size_t received;
    int fd;

    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    strcpy(address.sun_path, argv[1]);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) < 0) {
        perror(argv[1]);
        return 1;
    }
    /* Sealed against writing and shrinking, or it is refused. */
    bytefd_requirements sealed = BYTEFD_REQUIREMENTS_INIT;
    int status = bytefd_receive(server, message, 1, &received, &fd, 1, &sealed, &error);
    close(server);
    if (status == 0) {
        status = bytefd_map_fd(fd, NULL, &map, &error);
        close(fd);
    }
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return 1;
    }
    size_t written = fwrite(bytefd_map_data(map), 1, bytefd_map_length(map), stdout);
    status = written < bytefd_map_length(map) || fflush(stdout) != 0;
    bytefd_map_close(map);
    return status;
}
