/* The sections of the report. Each adds its facts, and records here what the advice needs. */
#ifndef FINDINGS_H
#define FINDINGS_H

#include <stdint.h>

struct findings {
    int is_filtered;        /* system calls, by seccomp */
    int has_memfd, has_seals, has_proc, can_wrap;
    int has_leases, has_procmap_query, has_process_vm_readv, has_new_files;
    int is_collapse_refused, are_new_files_refused;
    int gives_huge_pages;   /* the host does, without MADV_COLLAPSE */
    int has_huge_pages;     /* the kernel has, for files in memory, whatever the settings */
    char new_files_step[32];
    const char *temporary_directory;
    int is_temporary_in_memory;
    int can_use_shm;        /* files can be made in /dev/shm */
    uint64_t shm_bytes;     /* its size; 0 without a limit */
    uint64_t cgroup_bytes;  /* limit of memory, or UINT64_MAX */
    uint64_t open_files, file_size, address_space, mappings;
};

void look_at_host(struct findings *found);
void look_at_library(struct findings *found);
void look_at_files(struct findings *found);
void look_at_huge_pages(struct findings *found);
void look_at_pool(struct findings *found);
void look_at_folders(struct findings *found);
void look_at_limits(struct findings *found);
void look_at_calls(struct findings *found);
void measure(const struct findings *found);
void conclude(const struct findings *found);

#endif
