/*
 * shared_writes: maps one file in two processes, which see each other's stores at once.
 *
 *     cc -std=c11 shared_writes.c -o shared_writes $(pkg-config --cflags --libs bytefd)
 *     ./shared_writes FILE
 *
 * FILE is created if it does not exist. The words go through the file; the socket between the
 * processes only says whose turn it is. Exit status: 0, or 1 on failure.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 3, ROOM = 64 };

/*
 * Speaks in every second turn, beginning with turn `first`, and listens in the others. Returns 1 if
 * the other process has ended.
 */
static int talk(const char *who, const char *word, char *text, int first, int socket)
{
    char turn;
    for (int i = 0; i < 2 * ROUNDS; i++) {
        if (i % 2 == first) {
            snprintf(text, ROOM, "%s %d", word, i / 2 + 1);
            fflush(stdout);
            if (send(socket, "", 1, MSG_NOSIGNAL) != 1)
                return 1;
        } else {
            if (recv(socket, &turn, 1, 0) != 1)
                return 1;
            printf("%s sees: %s\n", who, text);
        }
    }
    return 0;
}

static int play(const char *who, const char *word, const char *file, int first, int socket)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_error error;
    bytefd_map *map;

    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    options.file_size = options.length = ROOM;
    if (map_file(file, &options, &map, &error) < 0) {
        fprintf(stderr, "%s: %s: %s\n", who, error.op, error.message);
        return 1;
    }
    int status = talk(who, word, bytefd_map_data(map), first, socket);
    bytefd_map_close(map);
    return status;
}

int main(int argc, char **argv)
{
    int ends[2], status = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        perror("socketpair");
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        /* A process that keeps only its own end notices when the other process has ended. */
        close(ends[0]);
        return play("child", "pong", argv[1], 1, ends[1]);
    }
    close(ends[1]);
    int own = child > 0 ? play("parent", "ping", argv[1], 0, ends[0]) : 1;
    close(ends[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    else
        perror("fork");
    return own != 0 || status != 0;
}
