/* Small files of /proc and /sys. */
#ifndef READ_H
#define READ_H

#include <stddef.h>
#include <stdint.h>

/* Writes the first line of a file to `line`, without its end. Returns whether there is one. */
int read_line(const char *path, char *line, size_t size);

/* Writes what follows `key` in the first line that begins with it, without blanks before it. */
int read_value(const char *path, const char *key, char *value, size_t size);

/* The number that a file consists of, or `otherwise`. */
uint64_t read_number(const char *path, uint64_t otherwise);

/* Writes the word in brackets, which marks the chosen one: "always [never]" has "never". */
int read_choice(const char *path, char *word, size_t size);

#endif
