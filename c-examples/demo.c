/*
 * demo: lends a file's bytes, as a descriptor, to a library and to a program. Part of `make demo`,
 * where programs in C, Go and Rust print the same.
 *
 *     cc -std=c11 demo.c -o demo $(pkg-config --cflags --libs bytefd) -lmagic
 *     ./demo /bin/ls
 *
 * Two clients get the descriptor: libmagic, in this process, and sha256sum, in another. The digest
 * that sha256sum prints must be that of FILE. Exit status: 0 if equal, 1 otherwise.
 */
#define _GNU_SOURCE /* F_GET_SEALS, pipe2 */

#include <bytefd.h>
#include <fcntl.h>
#include <magic.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "read_all.h"

extern char **environ;

enum { DIGEST_LENGTH = 64 };

static void print_line(const char *language, const char *who, const char *what)
{
    printf("%-6s%-8s%s\n", language, who, what);
}

static int print_properties(int fd)
{
    struct stat st;
    char text[160];

    if (fstat(fd, &st) < 0)
        return -1;
    snprintf(text, sizeof text, "%s, %lld bytes, offset %lld, links %lu, mode %04o, seals %#x",
             S_ISREG(st.st_mode) ? "regular file" : "not a regular file", (long long)st.st_size,
             (long long)lseek(fd, 0, SEEK_CUR), (unsigned long)st.st_nlink,
             (unsigned)(st.st_mode & 07777), (unsigned)fcntl(fd, F_GET_SEALS));
    print_line("C", "fstat", text);
    return 0;
}

static int print_magic(int fd)
{
    magic_t magic = magic_open(MAGIC_NONE);

    if (magic == NULL)
        return -1;
    /* This moves the file offset, which all duplicates of this descriptor share. */
    const char *type = magic_load(magic, NULL) == 0 ? magic_descriptor(magic, fd) : NULL;
    if (type != NULL)
        print_line("", "magic", type);
    else
        fprintf(stderr, "magic: %s\n", magic_error(magic));
    magic_close(magic);
    return type != NULL ? 0 : -1;
}

/*
 * Runs sha256sum on the file `path`, or on standard input if `path` is NULL. Standard input is the
 * file `input`. The child inherits all descriptors of this process that are not close-on-exec.
 */
static int sha256sum(char *path, const char *input, char digest[DIGEST_LENGTH + 1])
{
    char *arguments[] = {"sha256sum", path, NULL};
    posix_spawn_file_actions_t actions;
    int output[2], status = -1;
    pid_t child;

    if (pipe2(output, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    int reason = posix_spawnp(&child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(output[1]);

    size_t length = 0;
    char *text = read_all(output[0], &length);
    close(output[0]);
    if (reason == 0)
        waitpid(child, &status, 0);
    int done = text != NULL && status == 0 && length > DIGEST_LENGTH;
    if (done) {
        memcpy(digest, text, DIGEST_LENGTH);
        digest[DIGEST_LENGTH] = '\0';
    } else {
        fprintf(stderr, "sha256sum: %s\n", reason != 0 ? strerror(reason) : "failed");
    }
    free(text);
    return done ? 0 : -1;
}

/* Called by bytefd with the lent descriptor. Writes the child's digest to `context`. */
static int show(int fd, void *context)
{
    char path[32], *digest = context;
    char text[32 + DIGEST_LENGTH] = "sha256sum says ";

    if (print_properties(fd) < 0 || print_magic(fd) < 0 ||
        bytefd_path(fd, path, sizeof path, NULL) < 0)
        return 1;
    /* The path gives the child a file offset of its own, which libmagic has not moved. */
    if (sha256sum(path, "/dev/null", digest) < 0)
        return 1;
    print_line("", "child", strcat(text, digest));
    return 0;
}

int main(int argc, char **argv)
{
    char digest[DIGEST_LENGTH + 1], original[DIGEST_LENGTH + 1], text[64 + DIGEST_LENGTH];

    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    int input = open(argv[1], O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    char *bytes = input < 0 ? NULL : read_all(input, &length);
    if (bytes == NULL)
        fprintf(stderr, "%s: %s: %s\n", argv[0], argv[1], strerror(errno));
    if (input >= 0)
        close(input);
    if (bytes == NULL)
        return 1;

    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    options.flags = BYTEFD_INHERIT;
    bytefd_error error;
    int status = scan_bytes(bytes, length, show, digest, &options, &error);
    free(bytes);
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return 1;
    }

    if (sha256sum(NULL, argv[1], original) < 0)
        return 1;
    if (strcmp(digest, original) != 0) {
        snprintf(text, sizeof text, "DIFFERENT: the original's digest is %s", original);
        print_line("", "result", text);
        return 1;
    }
    print_line("", "result", "equal to the digest of the original");
    return 0;
}
