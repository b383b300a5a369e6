/*
 * Checks that a C++ exception that a callback throws passes through scan_bytes, and that the
 * descriptor is closed. Exit status 0 if so.
 */
#include <bytefd.h>

#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace {

int failures = 0;

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                                                   \
        }                                                                                 \
    } while (0)

/* The call must not return. */
#define THROWS(call)                                                                      \
    (std::fprintf(stderr, "%s:%d: returned %d: %s\n", __FILE__, __LINE__, (call), #call), \
     failures++)

bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

int count_descriptors()
{
    int count = 0;
    DIR *entries = opendir("/proc/self/fd");
    while (readdir(entries) != nullptr)
        count++;
    closedir(entries);
    return count;
}

struct Found : std::runtime_error {
    int fd;
    Found(int fd, const std::string &what) : std::runtime_error(what), fd(fd) {}
};

int throw_content(int fd, void *)
{
    char content[16] = "";
    CHECK(pread(fd, content, sizeof content - 1, 0) >= 0);
    throw Found(fd, content);
}

int close_and_throw(int fd, void *)
{
    close(fd);
    throw Found(fd, "closed");
}

int throw_a_number(int, void *)
{
    throw 7;
}

/* Throws an exception through two scans, one within the other. */
int scan_within(int fd, void *context)
{
    *static_cast<int *>(context) = fd;
    return scan_bytes("inner", 5, throw_content, nullptr, nullptr, nullptr);
}

int catch_within(int fd, void *context)
{
    try {
        THROWS(scan_bytes("inner", 5, throw_content, nullptr, nullptr, nullptr));
    } catch (const Found &found) {
        CHECK(!is_open(found.fd));
        CHECK(is_open(fd));
        *static_cast<bool *>(context) = true;
    }
    return 0;
}

void an_exception_passes_and_the_descriptor_is_closed()
{
    bytefd_error error, untouched;
    std::memset(&error, 0x5a, sizeof error);
    std::memset(&untouched, 0x5a, sizeof untouched);
    bool caught = false;
    try {
        THROWS(scan_bytes("hello", 5, throw_content, nullptr, nullptr, &error));
    } catch (const Found &found) {
        caught = true;
        CHECK(found.what() == std::string("hello"));
        CHECK(!is_open(found.fd));
    }
    CHECK(caught);
    CHECK(std::memcmp(&error, &untouched, sizeof error) == 0);
}

void any_type_passes()
{
    int number = 0;
    try {
        THROWS(scan_bytes("hello", 5, throw_a_number, nullptr, nullptr, nullptr));
    } catch (int caught) {
        number = caught;
    }
    CHECK(number == 7);
}

void an_exception_passes_two_scans()
{
    int outer = -1;
    bool caught = false;
    try {
        THROWS(scan_bytes("outer", 5, scan_within, &outer, nullptr, nullptr));
    } catch (const Found &found) {
        caught = true;
        CHECK(found.what() == std::string("inner"));
        CHECK(outer > 2 && found.fd > 2 && outer != found.fd);
        CHECK(!is_open(outer) && !is_open(found.fd));
    }
    CHECK(caught);

    caught = false;
    CHECK(scan_bytes("outer", 5, catch_within, &caught, nullptr, nullptr) == 0);
    CHECK(caught);
}

void a_callback_may_close_the_descriptor_and_throw()
{
    bool caught = false;
    try {
        THROWS(scan_bytes("hello", 5, close_and_throw, nullptr, nullptr, nullptr));
    } catch (const Found &found) {
        caught = !is_open(found.fd);
    }
    CHECK(caught);
}

void nothing_is_left_over()
{
    int before = count_descriptors();
    for (int i = 0; i < 1000; i++) {
        try {
            THROWS(scan_bytes("hello", 5, throw_content, nullptr, nullptr, nullptr));
        } catch (const Found &) {
        }
    }
    CHECK(count_descriptors() == before);
}

} // namespace

int main()
{
    an_exception_passes_and_the_descriptor_is_closed();
    any_type_passes();
    an_exception_passes_two_scans();
    a_callback_may_close_the_descriptor_and_throw();
    nothing_is_left_over();
    return failures == 0 ? 0 : 1;
}
