/*
 * withfd: gives a pipe's content to a command that needs a real file, without a temporary one on disk.
 *
 *     cc -std=c11 withfd.c -o withfd $(pkg-config --cflags --libs bytefd)
 *     curl -s https://example.org/archive.zip | ./withfd unzip -l {}
 *
 * Reads standard input to its end and runs the command with the path of a seekable file in place of every {} in its
 * arguments, also within one (`--input={}`). Without any {} the path becomes the last argument.
 *
 * Exit status as env(1): the command's own; 125 if withfd fails, 126 if the command cannot be run, 127 if there is none.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <stdio.h>
#include <string.h>

#include "read_all.h"

enum { FAILED = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

/* A copy of `text` with `path` for every {}; `*replaced` counts them. NULL without memory. */
static char *fill_in(const char *text, const char *path, int *replaced)
{
    size_t holes = 0;
    for (const char *hole = text; (hole = strstr(hole, "{}")) != NULL; hole += 2)
        holes++;
    char *result = malloc(strlen(text) + holes * strlen(path) + 1);
    if (result == NULL)
        return NULL;

    char *end = result;
    for (const char *hole; (hole = strstr(text, "{}")) != NULL; text = hole + 2) {
        memcpy(end, text, (size_t)(hole - text));
        end = stpcpy(end + (hole - text), path);
    }
    strcpy(end, text);
    *replaced += (int)holes;
    return result;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: ... | %s COMMAND [ARGUMENT | {}]...\n", argv[0]);
        return FAILED;
    }

    size_t length;
    char *bytes = read_all(STDIN_FILENO, &length);
    if (bytes == NULL) {
        fprintf(stderr, "%s: standard input: %s\n", argv[0], strerror(errno));
        return FAILED;
    }

    /* The descriptor passes through exec, and with it the path: the command finds it in its own /proc/self/fd. */
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    options.name = "stdin";
    options.flags = BYTEFD_INHERIT;
    char path[32];
    bytefd_error error;
    int fd = shm_wrap_buffer(bytes, length, &options, &error);
    free(bytes);
    if (fd < 0 || bytefd_path(fd, path, sizeof path, &error) < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return FAILED;
    }

    /* The command, its arguments, perhaps the path, and NULL. This process becomes the command: nothing is freed. */
    char **command = calloc((size_t)argc + 1, sizeof *command);
    int replaced = 0;
    int complete = command != NULL;
    for (int i = 1; complete && i + 1 < argc; i++) {
        command[i] = fill_in(argv[i + 1], path, &replaced);
        complete = command[i] != NULL;
    }
    if (!complete) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        return FAILED;
    }
    command[0] = argv[1];
    if (replaced == 0)
        command[argc - 1] = path;

    execvp(command[0], command);
    int reason = errno;
    fprintf(stderr, "%s: %s: %s\n", argv[0], command[0], strerror(reason));
    return reason == ENOENT ? NOT_FOUND : CANNOT_RUN;
}
