/* The header needs nothing before it and may be included twice; valid C99, C11 and C++17. Compiled, not run. */
#include <bytefd.h>
#include <bytefd.h>

/* The macros give every member a value, so that no compiler warns; and they initialise static objects too. */
static const bytefd_wrap_options wrap_defaults = BYTEFD_WRAP_OPTIONS_INIT;
static const bytefd_map_options map_defaults = BYTEFD_MAP_OPTIONS_INIT;

static int take(int fd, void *context)
{
    return fd == *(int *)context;
}

int use_the_header(void);

int use_the_header(void)
{
    bytefd_wrap_options wrap = BYTEFD_WRAP_OPTIONS_INIT;
    bytefd_map_options map = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_scan_fn scan = take;
    bytefd_error error;
    bytefd_map *handle;
    int fd = 0;

    wrap.flags = wrap_defaults.flags | BYTEFD_INHERIT;
    map.access = map_defaults.access | BYTEFD_MAP_PRIVATE;
    if (map_file("file", &map, &handle, &error) == 0)
        bytefd_map_close(handle);
    return scan_bytes("", 0, scan, &fd, &wrap, &error);
}
