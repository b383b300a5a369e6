/* What the library is to the process around it: children, closed standard streams, signals. */
#define _GNU_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint32_t backends[] = {
    BYTEFD_BACKEND_AUTO, BYTEFD_BACKEND_MEMFD, BYTEFD_BACKEND_SHM, BYTEFD_BACKEND_TMPFILE,
};
enum { BACKENDS = sizeof backends / sizeof *backends };

static bytefd_wrap_options with(uint32_t flags, uint32_t backend)
{
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    options.name = test_label();
    options.flags = flags;
    options.backend = backend;
    return options;
}

/* Whether cat(1), executed by a child, finds these bytes under the path of `fd`. */
static bool cat_finds(int fd, const char *bytes)
{
    char path[32], found[64] = "";
    int output[2], status = -1;
    SUCCEEDS(bytefd_path(fd, path, sizeof path, &error));
    CHECK_EQUAL(pipe2(output, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(output[1], STDOUT_FILENO);
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        execlp("cat", "cat", path, (char *)NULL);
        _exit(127);
    }
    close(output[1]);
    FILE *stream = fdopen(output[0], "r");
    size_t length = fread(found, 1, sizeof found - 1, stream);
    fclose(stream);
    waitpid(child, &status, 0);
    return status == 0 && length == strlen(bytes) && strcmp(found, bytes) == 0;
}

static int check_inherited(int fd, void *context)
{
    CHECK_EQUAL(cat_finds(fd, "hello"), *(bool *)context);
    return 0;
}

static void an_executed_program_has_the_descriptor_only_if_asked(void)
{
    for (int i = 0; i < 2; i++) {
        bool inherit = i == 1;
        bytefd_wrap_options options = with(inherit ? BYTEFD_INHERIT : 0, BYTEFD_BACKEND_AUTO);
        int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, &options, &error));
        CHECK_EQUAL(cat_finds(fd, "hello"), inherit);
        close(fd);
        SUCCEEDS(scan_bytes("hello", 5, check_inherited, &inherit, &options, &error));
    }
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    int other = SUCCEEDS(bytefd_reopen(fd, &error));
    CHECK(!cat_finds(other, "hello"));
    close(fd);
    close(other);
}

static int forked_fd;

static void child_reads_the_descriptor(void)
{
    CHECK(holds(forked_fd, "hello", 5));
    bytefd_map *map;
    char path[32];
    SUCCEEDS(bytefd_path(forked_fd, path, sizeof path, &error));
    SUCCEEDS(map_file(path, NULL, &map, &error));
    CHECK(bytefd_map_length(map) == 5);
    bytefd_map_close(map);
    SUCCEEDS(scan_bytes("hello", 5, check_inherited, &(bool){false}, NULL, &error));
}

static void a_forked_child_has_the_descriptor_and_the_library(void)
{
    forked_fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    IN_CHILD(child_reads_the_descriptor);
    close(forked_fd);
}

static int above_standard_streams(int fd, void *context)
{
    (void)context;
    CHECK(fd > 2);
    return 0;
}

static void nothing_returns_a_standard_stream(void)
{
    for (int i = 0; i < BACKENDS; i++) {
        if (!host_has(backends[i]))
            continue;
        for (uint32_t flags = 0; flags <= BYTEFD_READ_ONLY; flags++) {
            bytefd_wrap_options options = with(flags, backends[i]);
            int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, &options, &error));
            int other = SUCCEEDS(bytefd_reopen(fd, &error));
            CHECK(fd > 2 && other > 2);
            CHECK(holds(fd, "hello", 5) && holds(other, "hello", 5));
            close(fd);
            close(other);
            SUCCEEDS(scan_bytes("hello", 5, above_standard_streams, NULL, &options, &error));
        }
    }
    bytefd_map *map;
    SUCCEEDS(map_file("/etc/passwd", NULL, &map, &error));
    bytefd_map_close(map);
}

static void input_is_closed(void)
{
    close(STDIN_FILENO);
    nothing_returns_a_standard_stream();
    CHECK(!is_open(STDIN_FILENO));
}

static void all_streams_are_closed(void)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    nothing_returns_a_standard_stream();
    for (int fd = 0; fd <= 2; fd++)
        CHECK(!is_open(fd));
    /* What failed is printed here at the latest. */
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static void a_closed_standard_stream_is_never_returned(void)
{
    IN_CHILD(input_is_closed);
    IN_CHILD(all_streams_are_closed);
}

struct signals {
    sigset_t mask;
    struct sigaction actions[NSIG];
};

static void look_at_signals(struct signals *signals)
{
    memset(signals, 0, sizeof *signals);
    sigprocmask(SIG_BLOCK, NULL, &signals->mask);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &signals->actions[number]);
}

static void signals_stay_as_they_are(void)
{
    static struct signals before, after;
    look_at_signals(&before);
    nothing_returns_a_standard_stream();
    FAILS(shm_wrap_buffer(NULL, 1, NULL, &error), EINVAL, NULL);
    look_at_signals(&after);
    for (int number = 1; number < NSIG; number++) {
        CHECK_EQUAL(sigismember(&after.mask, number), sigismember(&before.mask, number));
        CHECK(after.actions[number].sa_handler == before.actions[number].sa_handler);
        CHECK_EQUAL(after.actions[number].sa_flags, before.actions[number].sa_flags);
    }
}

const struct test process_tests[] = {
    TEST(an_executed_program_has_the_descriptor_only_if_asked),
    TEST(a_forked_child_has_the_descriptor_and_the_library),
    TEST(a_closed_standard_stream_is_never_returned),
    TEST(signals_stay_as_they_are),
    {NULL, NULL},
};
