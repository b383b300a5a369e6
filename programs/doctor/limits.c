/* Shows the limits beyond which a call fails, or the process is killed. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "findings.h"
#include "read.h"
#include "report.h"

/* As in the kernel, UINT64_MAX means no limit. */
_Static_assert((uint64_t)RLIM_INFINITY == UINT64_MAX, "64 bits");

static uint64_t limit(int resource)
{
    struct rlimit both;
    return getrlimit(resource, &both) < 0 ? RLIM_INFINITY : both.rlim_cur;
}

/* Lowers `*least` to the number in a file, if that is lower. */
static void lower(uint64_t *least, const char *folder, const char *file)
{
    char path[4480];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    uint64_t number = read_number(path, UINT64_MAX);
    /* The old hierarchy has a number of this size for no limit. */
    if (number < UINT64_MAX / 4 && number < *least)
        *least = number;
}

/* Returns whether "memory" is among the controllers before `end`, which commas separate. */
static int names_memory(const char *names, const char *end)
{
    while (names < end) {
        size_t length = strcspn(names, ",:");
        if (length == 6 && strncmp(names, "memory", 6) == 0)
            return 1;
        names += length + 1;
    }
    return 0;
}

/*
 * Returns the lowest memory limit of this process's cgroup and of the cgroups above it, or
 * UINT64_MAX if there is none.
 */
static uint64_t cgroup_limit(void)
{
    char line[4352], folder[4400];
    uint64_t least = UINT64_MAX;
    FILE *groups = fopen("/proc/self/cgroup", "re");
    while (groups != NULL && fgets(line, sizeof line, groups) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *names = strchr(line, ':');
        const char *path = names == NULL ? NULL : strchr(names + 1, ':');
        if (path == NULL)
            continue;
        int is_new = strncmp(line, "0::", 3) == 0;
        if (!is_new && !names_memory(names + 1, path))
            continue;
        const char *root = is_new ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
        snprintf(folder, sizeof folder, "%s%s", root, path + 1);
        for (char *slash; strlen(folder) >= strlen(root);) {
            lower(&least, folder, is_new ? "memory.max" : "memory.limit_in_bytes");
            if ((slash = strrchr(folder, '/')) == NULL)
                break;
            *slash = '\0';
        }
    }
    if (groups != NULL)
        fclose(groups);
    return least;
}

void look_at_limits(struct findings *found)
{
    section("limits");
    found->open_files = limit(RLIMIT_NOFILE);
    found->file_size = limit(RLIMIT_FSIZE);
    found->address_space = limit(RLIMIT_AS);
    found->mappings = read_number("/proc/sys/vm/max_map_count", UINT64_MAX);
    found->cgroup_bytes = cgroup_limit();

    fact_limit("open files (RLIMIT_NOFILE)", found->open_files, 0);
    fact_limit("file size (RLIMIT_FSIZE)", found->file_size, 1);
    fact_limit("locked memory (RLIMIT_MEMLOCK)", limit(RLIMIT_MEMLOCK), 1);
    fact_limit("address space (RLIMIT_AS)", found->address_space, 1);
    fact_limit("memory of the cgroup", found->cgroup_bytes, 1);
    fact_file("vm.max_map_count", "/proc/sys/vm/max_map_count");
}
