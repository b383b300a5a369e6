/*
 * One file of the program calls the library by a short name. Another file, and a third library,
 * have a function of that name.
 */
#include <bytefd.h>
#include <stddef.h>
#include <stdio.h>

int use_own(void);
int use_third(void);

int main(void)
{
    bytefd_map *map = NULL;
    if (map_file("/bin/sh", NULL, &map, NULL) != 0 || bytefd_map_length(map) == 0)
        return 1;
    if (bytefd_map_close(map) != 0 || use_own() != 8 || use_third() != 8)
        return 2;
    puts("all three");
    return 0;
}
