#define _GNU_SOURCE

#include "maps.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

bytefd_map_options with_access(uint32_t access, uint32_t flags)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    options.access = access;
    options.flags = flags;
    return options;
}

bytefd_map *map_it(const char *path, const bytefd_map_options *options)
{
    bytefd_map *map = NULL;
    CHECK_EQUAL(SUCCEEDS(map_file(path, options, &map, &error)), 0);
    CHECK(map != NULL);
    return map;
}

bytefd_map *map_memory(size_t length, uint32_t access, uint32_t flags)
{
    bytefd_map *map = NULL;
    bytefd_map_options options = with_access(access, flags);
    CHECK_EQUAL(SUCCEEDS(bytefd_map_memory(length, &options, &map, &error)), 0);
    CHECK(map != NULL);
    return map;
}

bytefd_map *map_new_file(const void *bytes, size_t length, uint32_t access, uint32_t flags)
{
    bytefd_map_options options = with_access(access, flags);
    make_file("file", bytes, length);
    return map_it("file", &options);
}

bool map_holds(const bytefd_map *map, const void *bytes, size_t length)
{
    return bytefd_map_length(map) == length && memcmp(bytefd_map_data(map), bytes, length) == 0;
}

bool is_zero(const void *bytes, size_t length)
{
    const char *all = bytes;
    return length == 0 || (all[0] == 0 && memcmp(all, all + 1, length - 1) == 0);
}

long long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : (long long)st.st_size;
}

void protection_at(const void *address, char protection[5])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];
    unsigned long start, end;
    *protection = 0;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        char shown[5] = "";
        if (sscanf(line, "%lx-%lx %4s", &start, &end, shown) == 3 && (unsigned long)address >= start &&
            (unsigned long)address < end)
            memcpy(protection, shown, 5);
    }
    if (maps != NULL)
        fclose(maps);
}

int signal_of(void (*body)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        /* It leaves no core file. */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        body();
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    CHECK(WIFSIGNALED(status) || status == 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static volatile char *touched;

static void load(void)
{
    (void)*touched;
}

static void store(void)
{
    *touched = 'x';
}

int signal_of_load(void *address)
{
    touched = address;
    return signal_of(load);
}

int signal_of_store(void *address)
{
    touched = address;
    return signal_of(store);
}

void truncate_elsewhere(const char *path, size_t length)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(truncate(path, (off_t)length) == 0 ? 0 : 1);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    CHECK_EQUAL(status, 0);
}
