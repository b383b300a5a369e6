/* The sections of the report. Each adds its facts, and records here what the advice needs. */
#ifndef FINDINGS_H
#define FINDINGS_H

#include <stdint.h>

struct findings {
    int is_filtered;        /* seccomp filters system calls */
    int has_memfd, has_seals, has_proc, can_wrap;
    int has_leases, has_procmap_query, has_process_vm_readv, has_new_files;
    int is_collapse_refused, are_new_files_refused;
    int gives_huge_pages;   /* the host gives huge pages without MADV_COLLAPSE */
    int has_huge_pages;     /* the kernel has them for files in memory; settings do not count */
    char new_files_step[32];
    const char *temporary_directory;
    int is_temporary_in_memory;
    int can_use_shm;        /* files can be made in /dev/shm */
    uint64_t shm_bytes;     /* the size of /dev/shm; 0 if it has no limit */
    uint64_t cgroup_bytes;  /* the memory limit; UINT64_MAX if there is none */
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
