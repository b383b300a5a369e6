/* Wraps bytes in a first program with the library, and reads them back. */

#include <stdio.h>
#include <unistd.h>

#include <bytefd.h>

int main(void)
{
    bytefd_error error = {0};
    char bytes[16];
    int fd = bytefd_wrap_buffer("hello\n", 6, NULL, &error);
    ssize_t length = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    if (length != 6) {
        fprintf(stderr, "%s: %s\n", error.op, error.message);
        return 1;
    }
    fwrite(bytes, 1, (size_t)length, stdout);
    return close(fd) != 0;
}
