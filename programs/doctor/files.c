/* Tries files in memory: memfd, its seals, and the operations of the library on such a file. */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "findings.h"
#include "report.h"
#include "try.h"

/* From linux/memfd.h and linux/fcntl.h. Many C libraries do not have them yet. */
enum { NOEXEC_SEAL = 0x8, SEAL_EXEC = 0x20 };

static int memfd(unsigned flags)
{
    return (int)syscall(SYS_memfd_create, "bytefd-doctor", MFD_CLOEXEC | flags);
}

static int create(void *flags)
{
    return memfd(*(unsigned *)flags) < 0 ? errno : 0;
}

static int seal(void *which)
{
    int fd = memfd(MFD_ALLOW_SEALING);
    return fd < 0 || fcntl(fd, F_ADD_SEALS, *(int *)which) < 0 ? errno : 0;
}

/* Returns a memfd of one page, sealed as the library seals it, or -1. */
static int sealed(void)
{
    int fd = memfd(MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, 4096) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -1;
    return fd;
}

static int open_again(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static int map_shared(void *unused)
{
    int fd = sealed();
    (void)unused;
    if (fd < 0)
        return errno;
    return mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? errno : 0;
}

static int map_shared_read_only(void *unused)
{
    int fd = sealed();
    (void)unused;
    if (fd < 0 || (fd = open_again(fd, O_RDONLY)) < 0)
        return errno;
    return mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? errno : 0;
}

static int reopen(void *flags)
{
    int fd = memfd(0);
    return fd < 0 || open_again(fd, *(int *)flags) < 0 ? errno : 0;
}

/*
 * Tries a write lease. The open file description of memfd_create(2) does not count as a writer. A
 * second one does, and gets the lease.
 */
static int lease(void *unused)
{
    int fd = memfd(0), master;
    (void)unused;
    if (fd < 0 || (master = open_again(fd, O_RDWR)) < 0)
        return errno;
    close(fd);
    return fcntl(master, F_SETLEASE, F_WRLCK) < 0 ? errno : 0;
}

/* Calls the library, with its defaults or with a backend that seals. */
static int wrap(void *backend)
{
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    options.backend = *(uint32_t *)backend;
    int fd = bytefd_wrap_buffer("x", 1, &options, NULL);
    return fd < 0 ? -fd : 0;
}

void look_at_files(struct findings *found)
{
    static const struct { const char *name; int seal; } seals[] = {
        {"F_SEAL_SEAL", F_SEAL_SEAL}, {"F_SEAL_SHRINK", F_SEAL_SHRINK},
        {"F_SEAL_GROW", F_SEAL_GROW}, {"F_SEAL_WRITE", F_SEAL_WRITE},
        {"F_SEAL_FUTURE_WRITE", 0x10}, {"F_SEAL_EXEC", SEAL_EXEC},
    };
    unsigned plain = 0, noexec = NOEXEC_SEAL;
    int reading_direct = O_RDONLY | O_DIRECT, reading_writing = O_RDWR;
    uint32_t any = BYTEFD_BACKEND_AUTO, only_memfd = BYTEFD_BACKEND_MEMFD;

    section("files in memory");
    found->has_memfd = fact_outcome("memfd_create", try(create, &plain));
    fact_outcome("MFD_NOEXEC_SEAL", try(create, &noexec));
    fact_file("vm.memfd_noexec", "/proc/sys/vm/memfd_noexec");
    for (size_t i = 0; i < sizeof seals / sizeof *seals; i++) {
        int which = seals[i].seal;
        fact_outcome(seals[i].name, try(seal, &which));
    }
    fact_outcome("sealed file mapped shared", try(map_shared, NULL));
    fact_outcome("sealed file mapped, O_RDONLY", try(map_shared_read_only, NULL));
    fact_outcome("opened again through /proc", try(reopen, &reading_writing));
    fact_outcome("opened again with O_DIRECT", try(reopen, &reading_direct));
    found->has_leases = fact_outcome("write lease (F_SETLEASE)", try(lease, NULL));
    fact_file("fs.leases-enable", "/proc/sys/fs/leases-enable");
    fact_file("fs.lease-break-time", "/proc/sys/fs/lease-break-time");
    found->can_wrap = fact_outcome("bytefd_wrap_buffer", try(wrap, &any));
    found->has_seals = fact_outcome("bytefd_wrap_buffer, sealed", try(wrap, &only_memfd));
}
