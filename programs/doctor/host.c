/* Shows the machine, its kernel, and this process, which a bug report needs. */
#define _GNU_SOURCE

#include <bytefd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "findings.h"
#include "read.h"
#include "report.h"
#include "try.h"

void look_at_host(struct findings *found)
{
    struct utsname name;
    struct sysinfo memory;
    char value[64], filters[64];

    section("host");
    fact_text("bytefd", "%s", bytefd_version());
    if (uname(&name) == 0) {
        fact_text("kernel", "%s %s", name.sysname, name.release);
        fact_text("machine", "%s", name.machine);
    }
    fact_number("processors", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    fact_bytes("page size", (uint64_t)sysconf(_SC_PAGESIZE));
    if (sysinfo(&memory) == 0)
        fact_bytes("memory", (uint64_t)memory.totalram * memory.mem_unit);
    if (read_value("/proc/meminfo", "MemAvailable:", value, sizeof value))
        fact_bytes("memory available", strtoull(value, NULL, 10) * 1024);
    fact_number("user", geteuid());

    if (!read_value("/proc/self/status", "Seccomp:", value, sizeof value)) {
        fact_text("seccomp", "not known");
    } else if (strcmp(value, "0") == 0) {
        fact_text("seccomp", "no filter");
    } else {
        found->is_filtered = 1;
        if (read_value("/proc/self/status", "Seccomp_filters:", filters, sizeof filters))
            fact_text("seccomp", "system calls are filtered, filters: %s", filters);
        else
            fact_text("seccomp", "system calls are filtered");
    }
}

/* Writes the library's report about this host to `text`. */
static int report(void *text)
{
    bytefd_error error;
    return -bytefd_host_report(text, 4096, &error);
}

void look_at_library(struct findings *found)
{
    char *text = shared(4096);
    section("what the library uses");
    struct outcome outcome = {0, 0};
    if (text == NULL || !works(outcome = try(report, text))) {
        fact_text("report", "%s", text == NULL ? "no memory" : in_words(outcome));
        return;
    }
    found->can_wrap = 1;
    for (char *next, *line = text; *line != '\0'; line = next) {
        next = line + strcspn(line, "\n");
        if (*next != '\0')
            *next++ = '\0';
        char *colon = strstr(line, ": ");
        if (colon == NULL)
            continue;
        *colon = '\0';
        fact_text(line, "%s", colon + 2);
    }
}
