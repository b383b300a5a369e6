#define _GNU_SOURCE

#include "read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int read_value(const char *path, const char *key, char *value, size_t size)
{
    FILE *file = fopen(path, "re");
    char line[1024];
    int is_found = 0;
    while (!is_found && file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        is_found = 1;
        line[strcspn(line, "\n")] = '\0';
        const char *rest = line + strlen(key);
        snprintf(value, size, "%s", rest + strspn(rest, " \t"));
    }
    if (file != NULL)
        fclose(file);
    return is_found;
}

int read_line(const char *path, char *line, size_t size)
{
    return read_value(path, "", line, size);
}

uint64_t read_number(const char *path, uint64_t otherwise)
{
    char line[64], *end;
    if (!read_line(path, line, sizeof line) || *line < '0' || *line > '9')
        return otherwise;
    errno = 0;
    unsigned long long number = strtoull(line, &end, 10);
    return errno != 0 || *end != '\0' ? otherwise : number;
}

int read_choice(const char *path, char *word, size_t size)
{
    char line[256];
    if (!read_line(path, line, sizeof line))
        return 0;
    const char *begin = strchr(line, '[');
    size_t length = begin == NULL ? 0 : strcspn(begin + 1, "]");
    if (length == 0 || length >= size)
        return 0;
    memcpy(word, begin + 1, length);
    word[length] = '\0';
    return 1;
}
