/*
 * A tiny test main for the C tests: counts checks, prints the ones that fail, and notices what is left over.
 *
 * A failed check does not end the test. Checks belong to the thread that runs the test.
 */
#ifndef CHECK_H
#define CHECK_H

#include <bytefd.h>
#include <stdbool.h>
#include <stddef.h>

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

/* Both are shown when they differ. */
#define CHECK_EQUAL(value, expected) \
    check_equal((long long)(value), (long long)(expected), #value, __FILE__, __LINE__)

/* The call is given `&error` and must succeed: its value is not negative and the error is left alone. */
#define SUCCEEDS(call) (poison_error(), check_success((call), #call, __FILE__, __LINE__))

/* The call is given `&error` and must fail with this errno, in this step; NULL is any step. */
#define FAILS(call, errno_value, op) \
    (poison_error(), check_failure((call), (errno_value), (op), #call, __FILE__, __LINE__))

/* What the calls in SUCCEEDS and FAILS fill. */
extern bytefd_error error;

void check(bool holds, const char *text, const char *file, int line);
void check_equal(long long value, long long expected, const char *text, const char *file, int line);
int check_success(int result, const char *text, const char *file, int line);
void check_failure(int result, int errno_value, const char *op, const char *text, const char *file, int line);
void poison_error(void);

/* Runs `body` in a child process, for what cannot be undone. What fails there fails here. */
#define IN_CHILD(body) in_child((body), #body, __FILE__, __LINE__)
void in_child(void (*body)(void), const char *text, const char *file, int line);

/* One test: what must hold. */
struct test {
    const char *name;
    void (*run)(void);
};
#define TEST(function) { #function, function }

/* The tests of one file; the list ends with a NULL name. */
struct test_group {
    const char *name;
    const struct test *tests;
};
extern const struct test wrap_tests[], option_tests[], scan_tests[], pool_tests[], adopt_tests[];
extern const struct test process_tests[], host_tests[];
extern const struct test map_tests[], map_source_tests[], map_memory_tests[], map_range_tests[], map_page_tests[],
    map_content_tests[], map_seal_tests[], map_limit_tests[], guard_tests[];

/* A label for files that may have a name for a moment, so that one that stays is found. */
const char *test_label(void);

/*
 * Runs the tests of the groups named in `chosen`, of all if it holds none, in a new, empty working directory. Both lists
 * end with NULL. Returns the program's exit status.
 */
int run_tests(const struct test_group *groups, char **chosen);

/* What this host can do, asked of the kernel and not of the library. */
bool host_has(uint32_t backend);
bool host_has_memfd(void);
bool host_forbids_execution(void);
/* The seals of a file made with default options. */
int default_seals(void);

/* Looking at files. */
bool is_open(int fd);
bool holds(int fd, const void *bytes, size_t length);
int access_mode(int fd);
unsigned permissions(int fd);
/* `length` bytes that differ for every `seed`; the caller frees them. */
unsigned char *pattern(size_t length, unsigned seed);
/* Writes a file in the working directory. */
void make_file(const char *name, const void *bytes, size_t length);
bool file_holds(const char *name, const void *bytes, size_t length);

#endif
