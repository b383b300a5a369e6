/* Reads a whole input into memory, for several examples. */
#ifndef READ_ALL_H
#define READ_ALL_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Reads from `fd` to its end. `fd` can be a file, a pipe or a terminal. Returns the bytes, which
 * the caller frees, and their number in `*length`. Returns NULL with errno set on failure.
 */
static char *read_all(int fd, size_t *length)
{
    size_t capacity = 64 * 1024, used = 0;
    char *bytes = malloc(capacity);

    while (bytes != NULL) {
        if (used == capacity) {
            char *larger = realloc(bytes, capacity *= 2);
            if (larger == NULL)
                break;
            bytes = larger;
        }
        ssize_t count = read(fd, bytes + used, capacity - used);
        if (count > 0) {
            used += (size_t)count;
        } else if (count == 0) {
            *length = used;
            return bytes;
        } else if (errno != EINTR) {
            break;
        }
    }
    free(bytes);
    return NULL;
}

#endif
