/* Tries huge pages for files in memory, and the features of pools. */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "findings.h"
#include "read.h"
#include "report.h"
#include "try.h"

#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/"

enum { COLLAPSE = 25 };

/* Collapses a huge page of a memfd whose first byte was written, as the library does. */
static int collapse(void *context)
{
    size_t size = *(size_t *)context;
    int fd = (int)syscall(SYS_memfd_create, "bytefd-doctor", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || pwrite(fd, "x", 1, 0) != 1)
        return errno;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *place = mmap(NULL, 2 * size, PROT_NONE, flags, -1, 0);
    if (place == MAP_FAILED)
        return errno;
    place += (size - (uintptr_t)place % size) % size;
    if (mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return errno;
    *(volatile char *)place = 'y';
    return madvise(place, size, COLLAPSE) < 0 ? errno : 0;
}

/* Adds a fact. Returns whether this host refuses the call, rather than a limit of this process. */
static int is_refused(const char *label, struct outcome outcome)
{
    fact_outcome(label, outcome);
    return outcome.signal == SIGSYS || outcome.error == EINVAL || outcome.error == EPERM ||
           outcome.error == EACCES || outcome.error == ENOSYS;
}

void look_at_huge_pages(struct findings *found)
{
    char policy[32], value[64];
    size_t size = (size_t)read_number(HUGE_PAGES "hpage_pmd_size", 0);

    section("huge pages");
    found->has_huge_pages = size != 0;
    if (size == 0)
        fact_text("size", "none: this kernel has no transparent huge pages");
    else
        fact_bytes("size", size);
    int is_known = read_choice(HUGE_PAGES "shmem_enabled", policy, sizeof policy);
    fact_text("shmem_enabled", "%s", is_known ? policy : "not there");
    found->gives_huge_pages = is_known && (strcmp(policy, "always") == 0 ||
                                           strcmp(policy, "within_size") == 0 ||
                                           strcmp(policy, "force") == 0);
    /* Larger huge pages, on hosts with pages of 64 KiB, are not tried. */
    if (size != 0 && size <= 32 << 20)
        found->is_collapse_refused = is_refused("MADV_COLLAPSE", try(collapse, &size));
    if (read_value("/proc/meminfo", "HugePages_Free:", value, sizeof value))
        fact_text("free reserved huge pages", "%s", value);
}

/* The step that bytefd_pool_create reports as refused. */
struct step {
    char name[32];
};

static int create_pool(void *context)
{
    bytefd_pool_options options = BYTEFD_POOL_OPTIONS_INIT;
    bytefd_pool *pool;
    bytefd_error error;
    options.method = BYTEFD_POOL_NEW_FILES;
    int status = bytefd_pool_create(&options, &pool, &error);
    if (status == 0)
        bytefd_pool_close(pool);
    else
        memcpy(((struct step *)context)->name, error.op, sizeof error.op);
    return -status;
}

void look_at_pool(struct findings *found)
{
    struct step *step = shared(sizeof *step);
    section("pools");
    if (step == NULL) {
        fact_text("new files, own file system", "not known: no memory");
    } else {
        struct outcome outcome = try(create_pool, step);
        found->has_new_files = works(outcome);
        found->are_new_files_refused = outcome.error == EOPNOTSUPP;
        memcpy(found->new_files_step, step->name, sizeof found->new_files_step);
        if (step->name[0] == '\0')
            fact_text("new files, own file system", "%s", in_words(outcome));
        else
            fact_text("new files, own file system", "%s, at the step \"%s\"", in_words(outcome),
                      step->name);
    }
    fact_yes("new files are tried by AUTO", found->has_new_files && !found->is_filtered);
    fact_yes("files are reused", found->has_memfd && found->has_leases);
    fact_file("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces");
    fact_file("kernel.unprivileged_userns_clone",
              "/proc/sys/kernel/unprivileged_userns_clone");
    fact_file("AppArmor restricts namespaces",
              "/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
}
