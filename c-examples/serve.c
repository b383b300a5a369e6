/*
 * serve: sends a file, as a sealed descriptor, to every client that connects to a Unix socket.
 *
 *     cc -std=c11 serve.c -o serve $(pkg-config --cflags --libs bytefd)
 *     ./serve SOCKET CLIENTS < FILE
 *
 * The client gets a message of one byte with one descriptor. The client can be any program:
 *
 *     python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect("SOCKET")
 *     print(os.pread(socket.recv_fds(s, 1, 1)[1][0], 100, 0))'
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bytefd_error error;

    if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: %s SOCKET CLIENTS < FILE\n", argv[0]);
        return 2;
    }
    int content = bytefd_wrap_stream(STDIN_FILENO, NULL, NULL, &error);
    if (content < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return 1;
    }
    strcpy(address.sun_path, argv[1]);
    /* A client that does not receive delays the others by at most 5 seconds. */
    bytefd_transfer_options patience = BYTEFD_TRANSFER_OPTIONS_INIT;
    patience.timeout_ns = 5000000000;
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(server, 8) < 0) {
        perror(argv[1]);
        return 1;
    }
    for (int left = atoi(argv[2]); left > 0; left--) {
        int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
        bytefd_credentials peer = BYTEFD_CREDENTIALS_INIT;
        if (client < 0) {
            perror("accept");
            return 1;
        }
        /* A client that hangs up early does not affect the others. */
        if (bytefd_peer_credentials(client, &peer, &error) < 0
            || bytefd_send(client, "!", 1, &content, 1, &patience, &error) < 0)
            fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        else
            printf("user %u\n", (unsigned)peer.uid);
        close(client);
    }
    close(server);
    close(content);
    unlink(argv[1]);
    return 0;
}
