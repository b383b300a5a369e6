/*
 * Tries the system calls that the library makes and that containers or old kernels refuse. Each
 * call is made on a small object.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "findings.h"
#include "try.h"
#include "report.h"

static int answer(long result)
{
    return result < 0 ? errno : 0;
}

static int process_vm_readv_(void *unused)
{
    char from = 'x', to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    (void)unused;
    return answer(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
}

static int openat2_(void *unused)
{
    /* struct open_how, with RESOLVE_NO_XDEV, of linux/openat2.h. */
    const uint64_t how[3] = {O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 1};
    (void)unused;
    return answer(syscall(SYS_openat2, AT_FDCWD, ".", how, sizeof how));
}

static int statx_(void *unused)
{
    char status[256];
    (void)unused;
    return answer(syscall(SYS_statx, AT_FDCWD, "/", 0, 0x7ff, status));
}

/* EBADF comes from the kernel itself, so the call is not filtered. */
static int renameat2_(void *unused)
{
    (void)unused;
    return syscall(SYS_renameat2, -1, "a", -1, "b", 1) < 0 && errno != EBADF ? errno : 0;
}

static int fallocate_(void *unused)
{
    (void)unused;
    return fallocate(-1, 0, 0, 1) < 0 && errno != EBADF ? errno : 0;
}

static int getrandom_(void *unused)
{
    char byte;
    (void)unused;
    return answer(syscall(SYS_getrandom, &byte, 1, 0));
}

static int futex_(void *unused)
{
    uint32_t word = 0;
    (void)unused;
    return answer(syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0));
}

static int ppoll_(void *unused)
{
    const struct timespec none = {0, 0};
    (void)unused;
    return answer(ppoll(NULL, 0, &none, NULL));
}

static int file_lock_(void *unused)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    (void)unused;
    return file < 0 ? errno : answer(fcntl(file, F_OFD_SETLK, &lock));
}

static int socketpair_(void *unused)
{
    int sockets[2];
    (void)unused;
    return answer(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
}

static int shmget_(void *unused)
{
    int id = shmget(IPC_PRIVATE, 1, 0600 | IPC_CREAT);
    (void)unused;
    return id < 0 ? errno : answer(shmctl(id, IPC_RMID, NULL));
}

static int mlock_(void *unused)
{
    static char page[1];
    (void)unused;
    return answer(mlock(page, 1));
}

static int unshare_(void *unused)
{
    (void)unused;
    return answer(unshare(CLONE_NEWUSER | CLONE_NEWNS));
}

/* linux/fs.h since Linux 6.11. */
static int procmap_query(void *unused)
{
    struct {
        uint64_t size, flags, address, rest[10];
    } query = {sizeof query, 0, (uintptr_t)&query, {0}};
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    (void)unused;
    if (maps < 0)
        return errno;
    const unsigned long request = _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, sizeof query);
    return answer(syscall(SYS_ioctl, maps, request, &query));
}

void look_at_calls(struct findings *found)
{
    section("system calls");
    found->has_process_vm_readv = fact_outcome("process_vm_readv", try(process_vm_readv_, NULL));
    found->has_procmap_query = fact_outcome("PROCMAP_QUERY (Linux 6.11)", try(procmap_query, NULL));
    fact_outcome("unshare, user namespace", try(unshare_, NULL));
    fact_outcome("openat2", try(openat2_, NULL));
    fact_outcome("statx", try(statx_, NULL));
    fact_outcome("renameat2", try(renameat2_, NULL));
    fact_outcome("fallocate", try(fallocate_, NULL));
    fact_outcome("getrandom", try(getrandom_, NULL));
    fact_outcome("futex", try(futex_, NULL));
    fact_outcome("ppoll", try(ppoll_, NULL));
    fact_outcome("socketpair", try(socketpair_, NULL));
    fact_outcome("F_OFD_SETLK", try(file_lock_, NULL));
    fact_outcome("shmget", try(shmget_, NULL));
    fact_outcome("mlock", try(mlock_, NULL));
}
