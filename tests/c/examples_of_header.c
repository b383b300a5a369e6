/* Runs each example of the header in a child. The test adds the examples to the end. */
#define _GNU_SOURCE
#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(const char *name, int (*example)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        exit(example() < 0);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "%s: status %#x\n", name, child < 0 ? -1 : status);
        return 1;
    }
    return 0;
}
