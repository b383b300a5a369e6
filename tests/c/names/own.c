/* A file of a program or library, with its own function of one of the short names. */
#include <stddef.h>

int map_file(int answer);

int map_file(int answer)
{
    return answer + 1;
}
