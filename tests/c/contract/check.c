#define _GNU_SOURCE

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bytefd_error error;

static int checks, failures;

void check(bool holds, const char *text, const char *file, int line)
{
    checks++;
    if (!holds) {
        failures++;
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    }
}

void check_equal(long long value, long long expected, const char *text, const char *file, int line)
{
    checks++;
    if (value != expected) {
        failures++;
        fprintf(stderr, "%s:%d: %s is %lld (%#llx), not %lld (%#llx)\n", file, line, text, value,
                (unsigned long long)value, expected, (unsigned long long)expected);
    }
}

void poison_error(void)
{
    memset(&error, 0x5a, sizeof error);
}

static bool error_is_untouched(void)
{
    const unsigned char *bytes = (const unsigned char *)&error;
    for (size_t i = 0; i < sizeof error; i++)
        if (bytes[i] != 0x5a)
            return false;
    return true;
}

int check_success(int result, const char *text, const char *file, int line)
{
    checks++;
    if (result < 0) {
        failures++;
        fprintf(stderr, "%s:%d: %s failed: %d, %.31s: %.219s\n", file, line, text, result, error.op, error.message);
    } else {
        check(error_is_untouched(), "the error is left alone on success", file, line);
    }
    return result;
}

void check_failure(int result, int errno_value, const char *op, const char *text, const char *file, int line)
{
    check_equal(result, -errno_value, text, file, line);
    if (result >= 0)
        return;
    check_equal(error.code, result, "error.code", file, line);
    bool terminated = memchr(error.op, 0, sizeof error.op) && memchr(error.message, 0, sizeof error.message);
    check(terminated, "both texts of the error end with a NUL", file, line);
    if (!terminated)
        return;
    check(error.op[0] != 0 && error.message[0] != 0, "the error has both texts", file, line);
    check(strchr(error.message, '\n') == NULL, "the message is one line", file, line);
    if (op != NULL && strcmp(error.op, op) != 0) {
        failures++;
        fprintf(stderr, "%s:%d: %s failed in \"%s\", not \"%s\"\n", file, line, text, error.op, op);
    }
}

void in_child(void (*body)(void), const char *text, const char *file, int line)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        failures = 0;
        body();
        fflush(NULL);
        _exit(failures == 0 ? 0 : 1);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    check_equal(status, 0, text, file, line);
}

/*
 * What a process holds, as lines of text: every descriptor, every mapping of memory files and of files in the working
 * directory, and every name in /dev/shm that was made with a label of these tests.
 */
struct holdings {
    char *lines[256];
    size_t count;
};

static char label[64], directory[4096];

const char *test_label(void)
{
    return label;
}

static void add_line(struct holdings *holdings, const char *kind, const char *what)
{
    if (holdings->count == sizeof holdings->lines / sizeof *holdings->lines) {
        fprintf(stderr, "too many things to compare\n");
        exit(1);
    }
    if (asprintf(&holdings->lines[holdings->count++], "%s %s", kind, what) < 0)
        abort();
}

static void add_entries(struct holdings *holdings, const char *kind, const char *path, const char *containing)
{
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        bool itself = atoi(entry->d_name) == dirfd(entries) && strcmp(kind, "descriptor") == 0;
        if (!itself && entry->d_name[0] != '.' && strstr(entry->d_name, containing) != NULL)
            add_line(holdings, kind, entry->d_name);
    }
    if (entries != NULL)
        closedir(entries);
}

static struct holdings look(void)
{
    struct holdings holdings = {.count = 0};
    add_entries(&holdings, "descriptor", "/proc/self/fd", "");
    add_entries(&holdings, "name", "/dev/shm", label);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "/memfd:") || strstr(line, "/dev/shm/") || strstr(line, directory) || strstr(line, "/#"))
            add_line(&holdings, "mapping", line);
    if (maps != NULL)
        fclose(maps);
    return holdings;
}

static void release(struct holdings *holdings)
{
    while (holdings->count > 0)
        free(holdings->lines[--holdings->count]);
}

static void compare(const char *test, const struct holdings *before, const struct holdings *after)
{
    for (size_t i = 0; i < after->count; i++) {
        bool known = false;
        for (size_t j = 0; j < before->count; j++)
            known = known || strcmp(after->lines[i], before->lines[j]) == 0;
        if (!known) {
            failures++;
            fprintf(stderr, "%s: left over: %s\n", test, after->lines[i]);
        }
    }
}

static void run(const struct test *test)
{
    int failed = failures;
    struct holdings before = look();
    test->run();
    struct holdings after = look();
    compare(test->name, &before, &after);
    release(&before);
    release(&after);
    if (failures != failed)
        fprintf(stderr, "FAILED: %s\n", test->name);
}

static bool is_chosen(const char *name, char **chosen)
{
    bool all = *chosen == NULL;
    while (*chosen != NULL)
        if (strcmp(*chosen++, name) == 0)
            return true;
    return all;
}

int run_tests(const struct test_group *groups, char **chosen)
{
    const char *parent = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    snprintf(directory, sizeof directory, "%s/contract.XXXXXX", parent);
    if (mkdtemp(directory) == NULL || chdir(directory) < 0) {
        perror(directory);
        return 1;
    }
    snprintf(label, sizeof label, "contract-%d", (int)getpid());

    for (; groups->name != NULL; groups++)
        for (const struct test *test = groups->tests; is_chosen(groups->name, chosen) && test->name != NULL; test++)
            run(test);
    /* Refused when a test, or the library, left a file. */
    CHECK_EQUAL(rmdir(directory), 0);
    printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}

static bool memfd_accepts(unsigned flags)
{
    int fd = memfd_create("probe", flags | MFD_CLOEXEC);
    return fd >= 0 && close(fd) == 0;
}

bool host_has_memfd(void)
{
    return memfd_accepts(0);
}

bool host_has(uint32_t backend)
{
    char name[128];
    int fd;
    switch (backend) {
    case BYTEFD_BACKEND_MEMFD:
        return host_has_memfd();
    case BYTEFD_BACKEND_SHM:
        snprintf(name, sizeof name, "/probe.%s", label);
        fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        return fd >= 0 && shm_unlink(name) == 0 && close(fd) == 0;
    default:
        return true;
    }
}

bool host_forbids_execution(void)
{
    return memfd_accepts(8 /* MFD_NOEXEC_SEAL */);
}

int default_seals(void)
{
    int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    return host_forbids_execution() ? all | 0x20 /* F_SEAL_EXEC */ : all;
}

bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

bool holds(int fd, const void *bytes, size_t length)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size != length)
        return false;
    char *content = malloc(length + 1);
    size_t used = 0;
    ssize_t count;
    /* One more than there should be. */
    while ((count = pread(fd, content + used, length + 1 - used, (off_t)used)) > 0)
        used += (size_t)count;
    bool same = count == 0 && used == length && (length == 0 || memcmp(content, bytes, length) == 0);
    free(content);
    return same;
}

int access_mode(int fd)
{
    return fcntl(fd, F_GETFL) & O_ACCMODE;
}

unsigned permissions(int fd)
{
    struct stat st;
    return fstat(fd, &st) < 0 ? ~0u : st.st_mode & 07777;
}

unsigned char *pattern(size_t length, unsigned seed)
{
    unsigned char *bytes = malloc(length + 1);
    unsigned state = seed * 2654435761u + 1;
    for (size_t i = 0; i < length; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(state >> 24);
    }
    return bytes;
}

void make_file(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(name, "we");
    CHECK(file != NULL && fwrite(bytes, 1, length, file) == length);
    CHECK(file != NULL && fclose(file) == 0);
}

bool file_holds(const char *name, const void *bytes, size_t length)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && holds(fd, bytes, length);
    if (fd >= 0)
        close(fd);
    return same;
}
