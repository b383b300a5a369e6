/*
 * main [other]: calls two Rust libraries, bytefd and other.rs, in turn. With the argument, other.rs
 * is called first.
 */
#include <bytefd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int other_catches_its_panic(void);

static int call_other(int fd, void *context)
{
    char content[8];
    (void)context;
    return pread(fd, content, sizeof content, 0) == 5 && other_catches_its_panic() == 9 ? 0 : 1;
}

static int ours(void)
{
    bytefd_error error = {0};
    void *volatile nothing = NULL; /* The compiler would warn. */
    int fd = shm_wrap_buffer(nothing, 5, NULL, &error);
    if (fd >= 0 || strcmp(error.op, "buf") != 0)
        return 1;
    return scan_bytes("hello", 5, call_other, NULL, NULL, NULL) == 0 ? 0 : 1;
}

static int theirs(void)
{
    /* The letters of "other is 1", each once. */
    return other_catches_its_panic() == 9 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int other_first = argc > 1 && strcmp(argv[1], "other") == 0;
    int status = other_first ? theirs() || ours() : ours() || theirs();
    if (status == 0)
        puts("both work");
    return status;
}
