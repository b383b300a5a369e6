/*
 * anon_mmap: changes a number in anonymous memory in a child, and shows what the parent sees.
 *
 *     cc -std=c11 anon_mmap.c -o anon_mmap $(pkg-config --cflags --libs bytefd)
 *     ./anon_mmap
 *
 * Parent and child use the same shared memory, as with MAP_SHARED | MAP_ANONYMOUS or a shared
 * mapping of /dev/zero. Of private memory the child has a copy. Exit status: 0, or 1 on failure.
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
    /* The child would write buffered text a second time. */
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
