/* What was found: facts in sections, advice, and what is missing; shown as words or as JSON. */
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>
#include <stdio.h>

#define PRINTS(text, first) __attribute__((format(printf, text, first)))

/* Begins a section. The facts that follow belong to it. */
void section(const char *name);

/* Facts, each with its label. As a key of JSON "vm.max_map_count" is vm_max_map_count. */
PRINTS(2, 3) void fact_text(const char *label, const char *format, ...);
void fact_number(const char *label, uint64_t number);
void fact_yes(const char *label, int is_so);
/* A number of bytes. */
void fact_bytes(const char *label, uint64_t bytes);
/* A limit, RLIM_INFINITY for none. */
void fact_limit(const char *label, uint64_t limit, int is_bytes);
/* What a file in /proc or /sys says: a number if it is one. */
void fact_file(const char *label, const char *path);

/* A cell of the table of costs. */
void cost(const char *way, uint64_t bytes, double microseconds, double ratio);

/* What to change and what that gains, and what the library cannot do without, in sentences. */
PRINTS(1, 2) void advise(const char *format, ...);
PRINTS(1, 2) void missing(const char *format, ...);

/* How many sentences of missing() there are. */
int count_missing(void);

/* Both have the same facts, in the same order. */
void show_words(FILE *out);
void show_json(FILE *out);

#endif
