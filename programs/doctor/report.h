/* The report: facts in sections, advice, and missing features; shown as text or as JSON. */
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>
#include <stdio.h>

#define PRINTS(text, first) __attribute__((format(printf, text, first)))

/* Begins a section. The facts that follow belong to it. */
void section(const char *name);

/* Add a fact with its label. In JSON, the label "vm.max_map_count" becomes vm_max_map_count. */
PRINTS(2, 3) void fact_text(const char *label, const char *format, ...);
void fact_number(const char *label, uint64_t number);
void fact_yes(const char *label, int is_so);
/* A number of bytes. */
void fact_bytes(const char *label, uint64_t bytes);
/* A limit, RLIM_INFINITY for none. */
void fact_limit(const char *label, uint64_t limit, int is_bytes);
/* The content of a file in /proc or /sys, as a number if it is one. */
void fact_file(const char *label, const char *path);

/* Adds a cell to the table of costs. */
void cost(const char *way, uint64_t bytes, double microseconds, double ratio);

/*
 * Add a sentence: advice with its gain, or an essential feature that is missing.
 */
PRINTS(1, 2) void advise(const char *format, ...);
PRINTS(1, 2) void missing(const char *format, ...);

/* Returns the number of sentences from missing(). */
int count_missing(void);

/* Both have the same facts, in the same order. */
void show_words(FILE *out);
void show_json(FILE *out);

#endif
