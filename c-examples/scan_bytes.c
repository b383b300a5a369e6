/*
 * scan_bytes: looks for a signature in bytes in memory, with a scanner that takes only a file
 * descriptor.
 *
 *     cc -std=c11 scan_bytes.c -o scan_bytes $(pkg-config --cflags --libs bytefd)
 *     curl -s https://example.org/upload | ./scan_bytes
 *     ./scan_bytes FILE
 *
 * Exit status: 0 clean, 1 found, 2 error.
 */
#define _POSIX_C_SOURCE 200809L

#include <bytefd.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "read_all.h"

/*
 * The harmless EICAR test string, which virus scanners report. It is in two parts here, so that
 * they do not report this file.
 */
static const char signature[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-"
                                "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";
enum { SIGNATURE_LENGTH = sizeof signature - 1 };

struct verdict {
    int found;
    long long offset;
};

/*
 * Scans a file. It stands for code that you cannot change: it requires a regular file, asks for
 * its size, and reads at offsets. A pipe supports none of these. Returns 0 or an errno.
 */
static int scan_descriptor(int fd, struct verdict *verdict)
{
    char window[64 * 1024];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    /* Windows overlap, so that a signature across two of them is found. */
    for (off_t at = 0; at < st.st_size; at += sizeof window - (SIGNATURE_LENGTH - 1)) {
        ssize_t count;
        do
            count = pread(fd, window, sizeof window, at);
        while (count < 0 && errno == EINTR);
        if (count < 0)
            return errno;
        for (ssize_t i = 0; i + SIGNATURE_LENGTH <= count; i++) {
            if (memcmp(window + i, signature, SIGNATURE_LENGTH) == 0) {
                verdict->found = 1;
                verdict->offset = (long long)at + i;
                return 0;
            }
        }
    }
    return 0;
}

/* Called by bytefd with the lent descriptor. */
static int scan(int fd, void *context)
{
    return scan_descriptor(fd, context);
}

int main(int argc, char **argv)
{
    const char *name = argc == 2 ? argv[1] : "standard input";
    int input = STDIN_FILENO;

    if (argc > 2) {
        fprintf(stderr, "usage: %s [FILE]\n", argv[0]);
        return 2;
    }
    if (argc == 2)
        input = open(argv[1], O_RDONLY | O_CLOEXEC);
    size_t length;
    char *bytes = input < 0 ? NULL : read_all(input, &length);
    if (bytes == NULL) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], name, strerror(errno));
        if (input > STDIN_FILENO)
            close(input);
        return 2;
    }
    if (input != STDIN_FILENO)
        close(input);

    struct verdict verdict = {0};
    bytefd_error error;
    int status = scan_bytes(bytes, length, scan, &verdict, NULL, &error);
    free(bytes);
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s: %s\n", argv[0], name, error.op, error.message);
        return 2;
    }
    if (verdict.found)
        printf("%s: FOUND at byte %lld\n", name, verdict.offset);
    else
        printf("%s: clean, %zu bytes\n", name, length);
    return verdict.found;
}
