/*
 * Tests the header's attributes. With -DWRONG=... compilers must warn of that statement, and
 * without it of nothing. When the program runs, every check for NULL after a call must still be
 * there, whatever the compiler knows of the call.
 */
#include <bytefd.h>

static int map_is_checked(bytefd_map *map)
{
    return bytefd_map_check(map, NULL) < 0 && map == NULL;
}

static int target_is_checked(bytefd_map **map)
{
    return bytefd_map_memory(5, NULL, map, NULL) < 0 && map == NULL;
}

static int buffer_is_checked(const void *buf)
{
    return bytefd_wrap_buffer(buf, 5, NULL, NULL) < 0 && buf == NULL;
}

static int path_is_checked(const char *path)
{
    bytefd_map *map = NULL;
#ifdef WRONG
    WRONG;
#endif
    return map_file(path, NULL, &map, NULL) < 0 && path == NULL;
}

int main(void)
{
    void *volatile nothing = NULL;
    int all_are_there = map_is_checked(nothing) && target_is_checked(nothing) &&
                        buffer_is_checked(nothing) && path_is_checked(nothing);
    return all_are_there ? 0 : 1;
}
