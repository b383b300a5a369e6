/*
 * fetch: connects to a Unix socket, receives a descriptor, and writes its file to standard output.
 * Refuses a file that can still be changed.
 *
 *     cc -std=c11 fetch.c -o fetch $(pkg-config --cflags --libs bytefd)
 *     ./fetch SOCKET
 *
 * The server, for example serve.c or a Go program, sends one byte with one descriptor.
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
    size_t length = sizeof message, count = 1;
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
    /* The default requires seals against writing and shrinking. The length is limited too. */
    bytefd_requirements sealed = BYTEFD_REQUIREMENTS_INIT;
    bytefd_transfer_options patience = BYTEFD_TRANSFER_OPTIONS_INIT;
    sealed.max_length = UINT64_C(1) << 30;
    patience.timeout_ns = 5000000000;
    int status = bytefd_receive(server, message, &length, &fd, &count, &sealed, &patience, &error);
    close(server);
    if (status == 0 && count == 0) {
        fprintf(stderr, "%s: the message has no descriptor\n", argv[0]);
        return 1;
    }
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
