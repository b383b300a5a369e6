/* Reads small files of /proc and /sys. */
#ifndef READ_H
#define READ_H

#include <stddef.h>
#include <stdint.h>

/* Writes the first line of a file to `line`, without its end. Returns whether there is one. */
int read_line(const char *path, char *line, size_t size);

/* Writes the text after `key` in the first line that begins with it, without leading blanks. */
int read_value(const char *path, const char *key, char *value, size_t size);

/* Returns the number that a file contains, or `otherwise`. */
uint64_t read_number(const char *path, uint64_t otherwise);

/* Writes the word in brackets, which is the selected one: "never" in "always [never]". */
int read_choice(const char *path, char *word, size_t size);

#endif
