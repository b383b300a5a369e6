/* A program, or a library of its own, with a function of a name that the library has as its short one. */
#include <stddef.h>

int map_file(int answer);

int map_file(int answer)
{
    return answer + 1;
}
