/* A plugin that was linked with the archive, and has the handler for SIGBUS in itself. */
#include <bytefd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Loses a page of a guarded map; 0 if that is survived. */
int use_a_guard(void);

int use_a_guard(void)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_map *map;
    bytefd_error error;
    volatile char *data;
    int status = 1;
    int fd = memfd_create("plugin", MFD_CLOEXEC);
    options.flags = BYTEFD_MAP_GUARD;
    if (fd < 0 || ftruncate(fd, 100) != 0)
        return 1;
    if (bytefd_map_fd(fd, &options, &map, &error) == 0) {
        data = bytefd_map_data(map);
        if (ftruncate(fd, 0) == 0)
            status = data[50] != 0 || bytefd_map_check(map, NULL) == 0;
        bytefd_map_close(map);
    } else {
        printf("%d %s: %s\n", error.code, error.op, error.message);
    }
    close(fd);
    return status;
}
