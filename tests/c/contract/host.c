/*
 * Hosts that lack something: descriptors, large files, rights, /proc, space. Each is played in a child process; for the
 * last two it must be root or be allowed to make a user namespace.
 */
#define _GNU_SOURCE

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static bytefd_map_options creating(uint64_t size)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    options.file_size = size;
    return options;
}

static int never_called(int fd, void *context)
{
    (void)fd;
    (void)context;
    CHECK(!"called");
    return 0;
}

static int kept_fd;

static void limit(int resource, rlim_t value)
{
    struct rlimit both;
    getrlimit(resource, &both);
    both.rlim_cur = value;
    CHECK_EQUAL(setrlimit(resource, &both), 0);
}

static bool available[BACKENDS];

/* Every way to ask for a descriptor that is given away or lent. */
static void every_descriptor_is_emfile(void)
{
    bytefd_scan *const untouched = (bytefd_scan *)&error, *scan = untouched;
    for (int i = 0; i < BACKENDS; i++) {
        if (!available[i])
            continue;
        bytefd_wrap_options options = with(0, backends[i]);
        FAILS(shm_wrap_buffer("hello", 5, &options, &error), EMFILE, NULL);
        FAILS(scan_bytes("hello", 5, never_called, NULL, &options, &error), EMFILE, NULL);
        FAILS(bytefd_scan_begin("hello", 5, &options, &scan, &error), EMFILE, NULL);
    }
    FAILS(bytefd_reopen(kept_fd, &error), EMFILE, NULL);
    CHECK(scan == untouched);
}

static void no_number_is_free(void)
{
    bytefd_map *const untouched = (bytefd_map *)&error, *map = untouched;
    bytefd_map_options create = creating(100);
    int lowest = dup(STDERR_FILENO);
    close(lowest);
    limit(RLIMIT_NOFILE, (rlim_t)lowest);
    every_descriptor_is_emfile();
    FAILS(map_file("file", NULL, &map, &error), EMFILE, NULL);
    FAILS(map_file("new", &create, &map, &error), EMFILE, NULL);
    CHECK(access("new", F_OK) < 0);
    /* A map for writing keeps a descriptor, and so does shared memory. */
    create.flags = 0;
    FAILS(bytefd_map_fd(kept_fd, &create, &map, &error), EMFILE, NULL);
    if (available[1])
        FAILS(bytefd_map_memory(5, NULL, &map, &error), EMFILE, NULL);
    CHECK(map == untouched);
}

/* Its number can be had from the kernel, but must not be given away. */
static void only_standard_input_is_free(void)
{
    close(STDIN_FILENO);
    limit(RLIMIT_NOFILE, 3);
    every_descriptor_is_emfile();
    CHECK(!is_open(STDIN_FILENO));
}

static void without_descriptors_everything_is_emfile(void)
{
    /* Asked now, because asking takes descriptors. */
    for (int i = 0; i < BACKENDS; i++)
        available[i] = host_has(backends[i]);
    make_file("file", "hello", 5);
    kept_fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    IN_CHILD(no_number_is_free);
    IN_CHILD(only_standard_input_is_free);
    close(kept_fd);
    unlink("file");
}

static void sizes_above_the_limit_are_efbig(void)
{
    signal(SIGXFSZ, SIG_DFL);
    limit(RLIMIT_FSIZE, 1000);
    char bytes[1001] = {0};
    struct iovec parts[2] = {{bytes, 1000}, {bytes, 1}};
    for (int i = 0; i < BACKENDS; i++) {
        if (!host_has(backends[i]))
            continue;
        bytefd_wrap_options options = with(0, backends[i]);
        FAILS(shm_wrap_buffer(bytes, 1001, &options, &error), EFBIG, NULL);
        FAILS(bytefd_wrap_iov(parts, 2, &options, &error), EFBIG, NULL);
        int fd = SUCCEEDS(shm_wrap_buffer(bytes, 1000, &options, &error));
        close(fd);
    }
    bytefd_map *map;
    bytefd_map_options options = creating(1001);
    FAILS(map_file("new", &options, &map, &error), EFBIG, NULL);
    CHECK(access("new", F_OK) < 0);
    make_file("file", "hello", 5);
    FAILS(map_file("file", &options, &map, &error), EFBIG, NULL);
    CHECK(file_holds("file", "hello", 5));
    unlink("file");
}

static void the_file_size_limit_is_an_error_and_no_signal(void)
{
    IN_CHILD(sizes_above_the_limit_are_efbig);
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* In a user namespace of its own a process has all rights, as long as its own user exists there. */
static bool become_privileged(void)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "%d %d 1", (int)geteuid(), (int)geteuid());
    snprintf(groups, sizeof groups, "%d %d 1", (int)getegid(), (int)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

/* Whether this process may mount and chroot from now on, for nobody but itself. */
static bool can_mount(const char *what)
{
    bool privileged = unshare(CLONE_NEWNS) == 0 || become_privileged();
    if (privileged && mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0)
        return true;
    printf("SKIPPED: %s: neither root nor user namespaces here\n", what);
    return false;
}

static void rights_are_missing(void)
{
    if (geteuid() == 0) {
        CHECK_EQUAL(setgroups(0, NULL), 0);
        CHECK_EQUAL(setresgid(65534, 65534, 65534), 0);
        CHECK_EQUAL(setresuid(65534, 65534, 65534), 0);
    }
    bytefd_map *const untouched = (bytefd_map *)&error, *map = untouched;
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    FAILS(map_file("secret", NULL, &map, &error), EACCES, NULL);
    options.access = BYTEFD_MAP_WRITE;
    FAILS(map_file("readable", &options, &map, &error), EACCES, NULL);
    CHECK(map == untouched);

    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    CHECK_EQUAL(fchmod(fd, 0), 0);
    FAILS(bytefd_reopen(fd, &error), EACCES, NULL);
    close(fd);

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){page, page}), 0);
    options.access = BYTEFD_MAP_READ;
    options.flags = BYTEFD_MAP_LOCK;
    FAILS(map_file("readable", &options, &map, &error), ENOMEM, "mlock");
    options.length = 1;
    SUCCEEDS(map_file("readable", &options, &map, &error));
    CHECK_EQUAL(bytefd_map_close(map), 0);
    CHECK_EQUAL(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}), 0);
    FAILS(map_file("readable", &options, &map, &error), EPERM, "mlock");
}

static void what_is_not_allowed_is_an_error(void)
{
    size_t length = 3 * (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *bytes = pattern(length, 1);
    make_file("secret", "hello", 5);
    make_file("readable", bytes, length);
    /* The working directory is readable for nobody else. */
    CHECK_EQUAL(chmod(".", 0755), 0);
    CHECK_EQUAL(chmod("secret", 0), 0);
    CHECK_EQUAL(chmod("readable", 0444), 0);
    IN_CHILD(rights_are_missing);
    unlink("secret");
    unlink("readable");
    free(bytes);
}

static void proc_is_missing(void)
{
    char path[32] = "";
    int lowest = dup(STDERR_FILENO);
    close(lowest);
    int fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
    if (!can_mount("no /proc")) {
        close(fd);
        return;
    }
    CHECK_EQUAL(chroot("."), 0);
    FAILS(bytefd_reopen(fd, &error), ENOENT, NULL);
    SUCCEEDS(bytefd_path(fd, path, sizeof path, &error));
    CHECK(strncmp(path, "/proc/self/fd/", 14) == 0);
    /* Where sealing does not do, for lack of memfd or before Linux 6.7, every descriptor is a reopened one. */
    bool always_reopens = access_mode(fd) == O_RDONLY;
    close(fd);
    bytefd_wrap_options options = with(BYTEFD_READ_ONLY, BYTEFD_BACKEND_MEMFD);
    if (host_has_memfd())
        FAILS(shm_wrap_buffer("hello", 5, &options, &error), ENOENT, NULL);
    if (!always_reopens) {
        fd = SUCCEEDS(shm_wrap_buffer("hello", 5, NULL, &error));
        CHECK(holds(fd, "hello", 5));
        close(fd);
    }
    CHECK_EQUAL(dup(STDERR_FILENO), lowest);
}

static void without_proc_nothing_can_be_reopened(void)
{
    IN_CHILD(proc_is_missing);
}

enum { SPACE = 1 << 16, MORE = SPACE + 1 };

/* /dev/shm is empty, with room for SPACE bytes. */
static void what_finds_no_space_is_no_signal(const unsigned char *bytes)
{
    bytefd_map *map;
    size_t copied = 0, none = 77;
    bytefd_map_options options = creating(5);
    SUCCEEDS(map_file("/dev/shm/file", &options, &map, &error));
    FAILS(bytefd_map_resize(map, MORE, &error), ENOSPC, NULL);
    CHECK(bytefd_map_length(map) == 5 && file_holds("/dev/shm/file", "\0\0\0\0", 5));
    SUCCEEDS(bytefd_map_resize(map, SPACE, &error));
    bytefd_map_close(map);
    CHECK_EQUAL(unlink("/dev/shm/file"), 0);

    for (uint32_t guard = 0; guard <= BYTEFD_MAP_GUARD; guard += BYTEFD_MAP_GUARD) {
        /* All of it is a hole. */
        make_file("/dev/shm/file", "", 0);
        CHECK_EQUAL(truncate("/dev/shm/file", MORE), 0);
        options = creating(0);
        options.flags |= guard;
        SUCCEEDS(map_file("/dev/shm/file", &options, &map, &error));
        SUCCEEDS(bytefd_map_write(map, 0, bytes, MORE, &copied, &error));
        CHECK_EQUAL(copied, SPACE);
        FAILS(bytefd_map_write(map, SPACE, bytes, 1, &none, &error), EIO, "write");
        CHECK(none == 77 && memcmp(bytefd_map_data(map), bytes, SPACE) == 0);
        bytefd_map_close(map);
        CHECK_EQUAL(unlink("/dev/shm/file"), 0);
    }
}

static void space_is_missing(void)
{
    if (!can_mount("a full /dev/shm"))
        return;
    CHECK_EQUAL(mount("none", "/dev/shm", "tmpfs", MS_NOEXEC, "size=65536,mode=1777"), 0);
    unsigned char *bytes = pattern(MORE, 1);
    bytefd_wrap_options wrap = with(0, BYTEFD_BACKEND_SHM);
    FAILS(shm_wrap_buffer(bytes, MORE, &wrap, &error), ENOSPC, NULL);

    bytefd_map *map;
    bytefd_map_options options = creating(MORE);
    FAILS(map_file("/dev/shm/new", &options, &map, &error), ENOSPC, NULL);
    CHECK(access("/dev/shm/new", F_OK) < 0);
    make_file("/dev/shm/file", "hello", 5);
    FAILS(map_file("/dev/shm/file", &options, &map, &error), ENOSPC, NULL);
    CHECK(file_holds("/dev/shm/file", "hello", 5));

    options = (bytefd_map_options)BYTEFD_MAP_OPTIONS_INIT;
    options.flags = BYTEFD_MAP_EXECUTE;
    FAILS(map_file("/dev/shm/file", &options, &map, &error), EPERM, NULL);
    CHECK_EQUAL(unlink("/dev/shm/file"), 0);
    what_finds_no_space_is_no_signal(bytes);

    /* Nothing of what failed holds space: all of it can be had now. */
    int fd = SUCCEEDS(shm_wrap_buffer(bytes, SPACE, &wrap, &error));
    CHECK(holds(fd, bytes, SPACE));
    close(fd);
    free(bytes);
}

static void a_full_file_system_is_an_error_and_stays_usable(void)
{
    IN_CHILD(space_is_missing);
}

const struct test host_tests[] = {
    TEST(without_descriptors_everything_is_emfile),
    TEST(the_file_size_limit_is_an_error_and_no_signal),
    TEST(what_is_not_allowed_is_an_error),
    TEST(without_proc_nothing_can_be_reopened),
    TEST(a_full_file_system_is_an_error_and_stays_usable),
    {NULL, NULL},
};
