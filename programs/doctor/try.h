/*
 * Tries features in a child process, because a filter of system calls can kill instead of
 * refusing.
 */
#ifndef TRY_H
#define TRY_H

#include <stddef.h>

struct outcome {
    int error;  /* an errno, or 0 */
    int signal; /* the signal that ended the child, or 0 */
};

/* Runs `call` in a child. It returns 0 or an errno. */
struct outcome try(int (*call)(void *context), void *context);

/* Returns zeros that a child shares with this process, until this process ends; NULL on failure. */
void *shared(size_t size);

int works(struct outcome outcome);

/* "works", "refused: Operation not permitted", "missing: Function not implemented". */
const char *in_words(struct outcome outcome);

/* Adds a fact about an outcome. Returns whether the attempt worked. */
int fact_outcome(const char *label, struct outcome outcome);

#endif
