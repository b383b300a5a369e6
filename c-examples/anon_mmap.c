/*
 * anon_mmap: a number in memory without a file, and what a child's change of it is to its parent.
 *
 *     cc -std=c11 anon_mmap.c -o anon_mmap $(pkg-config --cflags --libs bytefd)
 *     ./anon_mmap
 *
 * Shared memory is one memory for both, as MAP_SHARED | MAP_ANONYMOUS or a shared map of /dev/zero.
 * Of private memory the child has a copy. Exit status: 0, or 1 if that cannot be shown.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int show(const char *kind, uint32_t access)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_error error;
    bytefd_map *map;

    options.access = access;
    if (bytefd_map_memory(sizeof(int), &options, &map, &error) < 0) {
        fprintf(stderr, "%s memory: %s: %s\n", kind, error.op, error.message);
        return -1;
    }
    int *number = bytefd_map_data(map);
    *number = 1;
    printf("%s memory\n", kind);
    /* What is in the buffer would be written by the child too. */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("  child: the number is %d, and I add 1\n", *number);
        (*number)++;
        bytefd_map_close(map);
        _exit(fflush(stdout) != 0);
    }
    int status = -1;
    if (child > 0)
        waitpid(child, &status, 0);
    else
        perror("fork");
    printf("  parent: the number is %d\n", *number);
    bytefd_map_close(map);
    return status;
}

int main(void)
{
    return show("shared", BYTEFD_MAP_WRITE) != 0 || show("private", BYTEFD_MAP_PRIVATE) != 0;
}
