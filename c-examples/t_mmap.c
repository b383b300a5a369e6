/*
 * t_mmap: shows the string at the beginning of a file, and replaces it, without read(2) and
 * write(2).
 *
 *     cc -std=c11 t_mmap.c -o t_mmap $(pkg-config --cflags --libs bytefd)
 *     ./t_mmap FILE [STRING]
 *
 * FILE must have at least 10 bytes, and STRING at most 9. Exit status: 0, or 1 on failure.
 */
#include <bytefd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { ROOM = 10 };

int main(int argc, char **argv)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_error error;
    bytefd_map *map;

    if (argc < 2 || argc > 3 || (argc == 3 && strlen(argv[2]) >= ROOM)) {
        fprintf(stderr, "usage: %s FILE [STRING of less than %d bytes]\n", argv[0], ROOM);
        return 2;
    }
    options.access = argc == 3 ? BYTEFD_MAP_WRITE : BYTEFD_MAP_READ;
    options.length = ROOM;
    if (map_file(argv[1], &options, &map, &error) < 0) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        return 1;
    }

    char *string = bytefd_map_data(map);
    int status = 0;
    printf("current string: %.*s\n", ROOM, string);
    if (argc == 3) {
        memset(string, 0, ROOM);
        strcpy(string, argv[2]);
        /*
         * Other readers of the file see the string already. bytefd_map_flush returns when it is on
         * the disk.
         */
        status = bytefd_map_flush(map, 0, BYTEFD_TO_END, MS_SYNC, &error);
        if (status < 0)
            fprintf(stderr, "%s: %s: %s\n", argv[0], error.op, error.message);
        else
            printf("new string: %s\n", string);
    }
    bytefd_map_close(map);
    return status < 0;
}
