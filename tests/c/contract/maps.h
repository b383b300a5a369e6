/* What the tests of maps share. */
#ifndef MAPS_H
#define MAPS_H

#include "check.h"

#include <errno.h>
#include <string.h>

#define ALL_DEFAULTS (bytefd_map_options)BYTEFD_MAP_OPTIONS_INIT

/* The call is given `&map` and must fail, and write no handle. */
#define MAKES_NO_MAP(call, errno_value, op)                                   \
    do {                                                                      \
        bytefd_map *const untouched = (bytefd_map *)&error, *map = untouched; \
        FAILS(call, errno_value, op);                                         \
        CHECK(map == untouched);                                              \
    } while (0)
#define REFUSES(path, options, errno_value, op) MAKES_NO_MAP(map_file(path, options, &map, &error), errno_value, op)

size_t page_size(void);

/* Options with this access and these flags. */
bytefd_map_options with_access(uint32_t access, uint32_t flags);

/* Maps that must succeed. */
bytefd_map *map_it(const char *path, const bytefd_map_options *options);
bytefd_map *map_memory(size_t length, uint32_t access, uint32_t flags);
/* A new file of these bytes, with the name "file", mapped with this access and these flags. */
bytefd_map *map_new_file(const void *bytes, size_t length, uint32_t access, uint32_t flags);

bool map_holds(const bytefd_map *map, const void *bytes, size_t length);
bool is_zero(const void *bytes, size_t length);
long long size_of(const char *path);

/* The permissions in /proc/self/maps ("r-xs") of the mapping that `address` lies in; empty if there is none. */
void protection_at(const void *address, char protection[5]);

/* The signal that ends a child which does this; 0 if none does. */
int signal_of(void (*body)(void));
int signal_of_load(void *address);
int signal_of_store(void *address);

/* Another process makes the file shorter. */
void truncate_elsewhere(const char *path, size_t length);

#endif
