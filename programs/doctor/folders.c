/* Looks at /dev/shm, at the directories for temporary files, and at /proc. */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "findings.h"
#include "report.h"
#include "try.h"

/* From linux/magic.h, which some C libraries do not have. */
enum { TMPFS = 0x01021994, RAMFS = (int)0x858458f6, PROC = 0x9fa0 };

static int unnamed_file(void *folder)
{
    return open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) < 0 ? errno : 0;
}

/* Adds facts about a directory's file system. Returns its size in bytes, 0 if it has no limit. */
static uint64_t file_system(const char *folder, int *is_in_memory)
{
    struct statfs status;
    struct statvfs flags;
    *is_in_memory = 0;
    if (statfs(folder, &status) < 0 || statvfs(folder, &flags) < 0) {
        fact_text("file system", "none: %s", strerror(errno));
        return 0;
    }
    *is_in_memory = (int)status.f_type == TMPFS || (int)status.f_type == RAMFS;
    fact_text("file system", "%s", *is_in_memory ? "in memory (tmpfs)" : "on disk, or another");
    uint64_t block = (uint64_t)status.f_bsize;
    if (status.f_blocks == 0) {
        fact_text("size", "unlimited");
    } else {
        fact_bytes("size", block * status.f_blocks);
        fact_bytes("free", block * status.f_bavail);
    }
    fact_yes("read-only", (flags.f_flag & ST_RDONLY) != 0);
    fact_yes("noexec", (flags.f_flag & ST_NOEXEC) != 0);
    fact_outcome("O_TMPFILE", try(unnamed_file, (void *)(uintptr_t)folder));
    return block * status.f_blocks;
}

/* Returns the directory for content above spill_threshold: the first that can be written. */
static const char *temporary_directory(void)
{
    const char *folders[] = {getenv("TMPDIR"), "/tmp", "/var/tmp"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (folders[i] != NULL && *folders[i] != '\0'
            && faccessat(AT_FDCWD, folders[i], W_OK | X_OK, AT_EACCESS) == 0)
            return folders[i];
    }
    return NULL;
}

/* Writes the options of the mount at /proc to `options`, or an empty string. */
static void proc_options(char *options, size_t size)
{
    char line[1024], place[256];
    FILE *mounts = fopen("/proc/self/mounts", "re");
    *options = '\0';
    while (mounts != NULL && fgets(line, sizeof line, mounts) != NULL) {
        char found[512];
        if (sscanf(line, "%*s %255s %*s %511s", place, found) == 2 && strcmp(place, "/proc") == 0)
            snprintf(options, size, "%s", found);
    }
    if (mounts != NULL)
        fclose(mounts);
}

static void look_at_proc(struct findings *found)
{
    struct statfs status;
    char options[512], path[32];

    section("/proc");
    int is_mounted = statfs("/proc", &status) == 0 && (int)status.f_type == PROC;
    fact_yes("mounted", is_mounted);
    snprintf(path, sizeof path, "/proc/self/fd/%d", STDERR_FILENO);
    found->has_proc = is_mounted && access("/proc/self/fd", R_OK | X_OK) == 0;
    fact_yes("/proc/self/fd can be read", found->has_proc);
    fact_yes("/proc/self/maps can be read", access("/proc/self/maps", R_OK) == 0);
    proc_options(options, sizeof options);
    const char *hidepid = strstr(options, "hidepid=");
    fact_text("hidepid", "%.*s", hidepid == NULL ? 2 : (int)strcspn(hidepid + 8, ","),
              hidepid == NULL ? "no" : hidepid + 8);
}

void look_at_folders(struct findings *found)
{
    int is_in_memory;
    section("/dev/shm");
    found->shm_bytes = file_system("/dev/shm", &is_in_memory);
    found->can_use_shm = access("/dev/shm", W_OK | X_OK) == 0;

    section("temporary files");
    found->temporary_directory = temporary_directory();
    if (found->temporary_directory == NULL) {
        fact_text("directory", "none: neither $TMPDIR, /tmp nor /var/tmp can be written");
    } else {
        fact_text("directory", "%s", found->temporary_directory);
        file_system(found->temporary_directory, &found->is_temporary_in_memory);
    }
    look_at_proc(found);
}
