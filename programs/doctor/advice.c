/* Reports the essential features that are missing, and advises what to change. */
#define _GNU_SOURCE

#include <bytefd.h>
#include <string.h>
#include <sys/resource.h>

#include "findings.h"
#include "read.h"
#include "report.h"

static void say_what_is_missing(const struct findings *found)
{
    if (!found->can_wrap)
        missing("bytefd_wrap_buffer fails: no descriptor can be made. See \"files in memory\".");
    else if (!found->has_seals)
        missing("memfd_create(2) does not work here, so files cannot be sealed. They are "
                "opened read-only instead. Allow it in the filter of system calls (seccomp).");
    if (!found->has_proc)
        missing("/proc/self/fd cannot be read: bytefd_reopen, bytefd_path and pools do not work. "
                "Mount /proc.");
}

static void advise_on_pages(const struct findings *found)
{
    if (!found->has_huge_pages)
        advise("This kernel has no huge pages for files in memory. With "
               "CONFIG_TRANSPARENT_HUGEPAGE, new files of 512 KiB and more take 0.2 to 0.7 of the "
               "time on many machines.");
    else if (found->is_collapse_refused && !found->gives_huge_pages)
        advise("MADV_COLLAPSE does not work (Linux 6.1 and later have it), and the host gives no "
               "huge pages by itself. echo within_size > "
               "/sys/kernel/mm/transparent_hugepage/shmem_enabled gives them: new files of 512 KiB "
               "and more take 0.2 to 0.7 of the time on many machines.");
    if (!found->has_procmap_query && found->has_proc)
        advise("PROCMAP_QUERY does not work (Linux 6.11 and later have it, and need "
               "/proc/self/maps). With it, the library fills large files by memcpy(3), which is up "
               "to four times as fast as write(2) into memory that exists already.");
    if (!found->has_process_vm_readv)
        advise("process_vm_readv(2) is refused, so bytefd_map_read and bytefd_map_write copy "
               "through a pipe, which takes longer. Allow it in the filter of system calls.");
}

static void advise_on_pools(const struct findings *found)
{
    if (!found->has_leases && found->has_memfd && found->has_proc)
        advise("Write leases are refused, so that a pool cannot reuse a file. Set sysctl "
               "fs.leases-enable=1, or allow fcntl F_SETLEASE in the filter of system calls. Scans "
               "with a pool are then 2 to 8 times as fast from 64 KiB on.");
    if (found->are_new_files_refused && found->has_proc) {
        const char *step = found->new_files_step;
        int is_namespace = strcmp(step, "unshare") == 0 || strncmp(step, "write ", 6) == 0;
        advise("A pool cannot have new files on a file system of its own, because the step \"%s\" "
               "is refused. With new files, scans with a pool are 1.6 to 9 times as fast as new "
               "memfds from 64 KiB on. New files need %s.",
               step,
               is_namespace ? "the right to a user namespace: sysctl user.max_user_namespaces, "
                              "kernel.unprivileged_userns_clone, "
                              "kernel.apparmor_restrict_unprivileged_userns, or the filter of "
                              "system calls"
                            : "Linux 5.12, and the right to mount in a user namespace, which "
                              "seccomp and AppArmor can refuse");
    } else if (found->has_new_files && found->is_filtered) {
        advise("System calls are filtered, so BYTEFD_POOL_AUTO does not try new files on a file "
               "system of its own. New files work here: choose BYTEFD_POOL_NEW_FILES, which is 1.6 "
               "to 9 times as fast as a memfd from 64 KiB on.");
    }
}

static void advise_on_limits(const struct findings *found)
{
    if (found->open_files < 256)
        advise("Only %llu descriptors can be open (ulimit -n). A pool keeps up to 68 of them, and "
               "gives idle ones up before a scan fails. Raise the limit to 1024, or set max_files.",
               (unsigned long long)found->open_files);
    if (found->file_size != RLIM_INFINITY)
        advise("Files of more than %llu bytes fail with -EFBIG (ulimit -f), also in memory. Raise "
               "the limit if content is longer.",
               (unsigned long long)found->file_size);
    if (found->address_space != RLIM_INFINITY)
        advise("The address space is limited to %llu bytes (ulimit -v). Maps count with their "
               "whole length, and so do large files while they are filled.",
               (unsigned long long)found->address_space);
    if (found->cgroup_bytes != UINT64_MAX)
        advise("A cgroup limits memory to %llu bytes. Files in memory count, and the kernel kills "
               "a process that exceeds the limit. Set max_bytes, and spill_threshold for large "
               "content.",
               (unsigned long long)found->cgroup_bytes);
    if (found->mappings < 65530)
        advise("A process has at most %llu mappings. A guarded map (BYTEFD_MAP_GUARD) may need one "
               "for each lost page: sysctl vm.max_map_count=65530.",
               (unsigned long long)found->mappings);
}

static void advise_on_folders(const struct findings *found)
{
    if (!found->can_use_shm)
        advise("No file can be made in /dev/shm, so bytefd_shm_open fails, and "
               "bytefd_tempfile_create makes its files in /tmp. Mount a tmpfs at /dev/shm.");
    else if (found->shm_bytes != 0 && found->shm_bytes <= 64 << 20)
        advise("/dev/shm has %llu bytes, for bytefd_shm_open and bytefd_tempfile_create. Mount it "
               "with a larger size (docker run --shm-size) if more is needed; memfds do not count.",
               (unsigned long long)found->shm_bytes);
    if (found->temporary_directory == NULL)
        advise("No directory for temporary files can be written, so spill_threshold fails. Make "
               "/tmp writable, or set TMPDIR.");
    else if (found->is_temporary_in_memory)
        advise("%s is in memory too, so content above spill_threshold takes memory as well. Set "
               "TMPDIR to a directory on disk to save memory.", found->temporary_directory);
    if (read_number("/proc/sys/vm/memfd_noexec", 0) == 2)
        advise("vm.memfd_noexec is 2, so BYTEFD_EXECUTABLE is refused. sysctl vm.memfd_noexec=1 "
               "allows it for files that are created executable.");
}

void conclude(const struct findings *found)
{
    say_what_is_missing(found);
    advise_on_pages(found);
    advise_on_pools(found);
    advise_on_limits(found);
    advise_on_folders(found);
}
