/* bytefd_pool and bytefd_host_report: what a C program sees of files that are used again. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The pool that a test uses, and options that name it. */
static bytefd_pool *pool;
static bytefd_wrap_options options;

static void begin_test(size_t max_bytes)
{
    static const bytefd_wrap_options all_defaults = BYTEFD_WRAP_OPTIONS_INIT;
    options = all_defaults;
    SUCCEEDS(bytefd_pool_create(max_bytes, &pool, &error));
    options.pool = pool;
}

static bytefd_pool_counts counts(void)
{
    bytefd_pool_counts now = {sizeof now, 0, 0, 0, 0};
    SUCCEEDS(bytefd_pool_stats(pool, &now, &error));
    return now;
}

/* What a callback is to find, and whether it keeps a duplicate. */
struct expected {
    const unsigned char *bytes;
    size_t length;
    bool keeps;
    int kept;
};

static int look(int fd, void *context)
{
    struct expected *expected = context;
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0);
    CHECK_EQUAL(st.st_size, expected->length);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 0);
    CHECK(holds(fd, expected->bytes, expected->length));
    expected->kept = expected->keeps ? dup(fd) : -1;
    return 0;
}

static void scan(struct expected *expected)
{
    SUCCEEDS(scan_bytes(expected->bytes, expected->length, look, expected, &options, &error));
}

static void a_file_is_lent_again_with_new_content_only(void)
{
    begin_test(1 << 20);
    unsigned char *bytes = pattern(70000, 1);
    static const size_t lengths[] = {70000, 70000, 65536, 65537, 4097, 1, 0, 5000, 70000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct expected expected = {bytes, lengths[i], false, -1};
        scan(&expected);
    }
    bytefd_pool_counts now = counts();
    CHECK_EQUAL(now.lent_again + now.new_files, sizeof lengths / sizeof *lengths);
    CHECK(!host_has_memfd() || now.lent_again > 0);
    CHECK(now.kept_bytes <= 1 << 20);
    free(bytes);
    bytefd_pool_destroy(pool);
}

static void a_file_that_is_held_is_not_used_again(void)
{
    begin_test(1 << 20);
    unsigned char *first = pattern(5000, 1), *later = pattern(5000, 2);
    struct expected keeper = {first, 5000, true, -1}, other = {later, 5000, false, -1};
    scan(&keeper);
    for (int i = 0; i < 10; i++)
        scan(&other);
    CHECK(holds(keeper.kept, first, 5000));
    CHECK(!host_has_memfd() || counts().dropped == 1);
    close(keeper.kept);
    free(first);
    free(later);
    bytefd_pool_destroy(pool);
}

static void a_trusted_callback_is_lent_the_kept_file_itself(void)
{
    begin_test(1 << 20);
    options.flags = BYTEFD_TRUST_CALLBACK;
    for (int i = 0; i < 3; i++) {
        struct expected expected = {(const unsigned char *)"hello", 5, false, -1};
        scan(&expected);
    }
    CHECK(!host_has_memfd() || counts().lent_again == 2);
    options.flags |= BYTEFD_INHERIT;
    FAILS(scan_bytes("hello", 5, look, NULL, &options, &error), EINVAL, "options");
    bytefd_pool_destroy(pool);
}

static void trimming_gives_memory_back(void)
{
    begin_test(1 << 20);
    struct expected expected = {(const unsigned char *)"hello", 5, false, -1};
    scan(&expected);
    SUCCEEDS(bytefd_pool_trim(pool, 0, &error));
    CHECK_EQUAL(counts().kept_bytes, 0);
    bytefd_pool_destroy(pool);
}

static void a_scan_may_end_after_its_pool(void)
{
    begin_test(1 << 20);
    bytefd_scan *lent;
    int fd = SUCCEEDS(bytefd_scan_begin("hello", 5, &options, &lent, &error));
    bytefd_pool_destroy(pool);
    CHECK(holds(fd, "hello", 5));
    CHECK_EQUAL(bytefd_scan_end(lent), 0);
}

static void a_pool_is_for_scans_and_for_files_as_they_are(void)
{
    begin_test(1 << 20);
    FAILS(shm_wrap_buffer("hello", 5, &options, &error), EINVAL, "pool");
    FAILS(bytefd_wrap_iov(NULL, 0, &options, &error), EINVAL, "pool");
    static const uint32_t refused[] = {BYTEFD_WRITABLE, BYTEFD_EXECUTABLE, BYTEFD_SEAL_CONTENT};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        options.flags = refused[i];
        FAILS(scan_bytes("hello", 5, look, NULL, &options, &error), EINVAL, "options");
    }
    options.flags = 0;
    options.name = "label";
    FAILS(scan_bytes("hello", 5, look, NULL, &options, &error), EINVAL, "options");
    bytefd_pool_destroy(pool);
}

static void bad_arguments_of_pools_are_refused(void)
{
    begin_test(0);
    bytefd_pool_counts now = {sizeof now - 1, 0, 0, 0, 0};
    FAILS(bytefd_pool_create(1, NULL, &error), EINVAL, "pool");
    FAILS(bytefd_pool_trim(NULL, 0, &error), EINVAL, "pool");
    FAILS(bytefd_pool_stats(NULL, &now, &error), EINVAL, "pool");
    FAILS(bytefd_pool_stats(pool, NULL, &error), EINVAL, "counts");
    FAILS(bytefd_pool_stats(pool, &now, &error), EINVAL, "counts");
    bytefd_pool_destroy(pool);
    bytefd_pool_destroy(NULL);
}

static void the_host_report_has_a_line_for_each_choice(void)
{
    char report[1024], small[8] = "?";
    SUCCEEDS(bytefd_host_report(report, sizeof report, &error));
    static const char *const subjects[] = {"files: ", "\ndescriptors: ", "\nfilling: ", "\npools: "};
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        CHECK(strstr(report, subjects[i]) != NULL);
    FAILS(bytefd_host_report(small, sizeof small, &error), ERANGE, "buf");
    CHECK(small[0] == '?');
    FAILS(bytefd_host_report(NULL, 0, &error), EINVAL, "buf");
}

const struct test pool_tests[] = {
    TEST(a_file_is_lent_again_with_new_content_only),
    TEST(a_file_that_is_held_is_not_used_again),
    TEST(a_trusted_callback_is_lent_the_kept_file_itself),
    TEST(trimming_gives_memory_back),
    TEST(a_scan_may_end_after_its_pool),
    TEST(a_pool_is_for_scans_and_for_files_as_they_are),
    TEST(bad_arguments_of_pools_are_refused),
    TEST(the_host_report_has_a_line_for_each_choice),
    {NULL, NULL},
};
