/*
 * bytefd-doctor: shows which features of this host the library can use, how long its calls take,
 * and what to change. The manual page, bytefd-doctor(1), describes the report. Each file in this
 * directory tries one kind of feature.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <getopt.h>
#include <stdio.h>

#include "findings.h"
#include "report.h"

enum { COMPLETE = 0, INCOMPLETE = 1, FAILED = 2 };

static const char help[] =
    "Usage: bytefd-doctor [OPTION]...\n"
    "Shows which features of this host libbytefd can use, how long its calls take,\n"
    "and what to change.\n"
    "\n"
    "  -j, --json     show the same facts as JSON\n"
    "  -q, --quick    measure nothing\n"
    "  -h, --help     show this text\n"
    "  -V, --version  show the version\n"
    "\n"
    "Exit status: 0 if no essential feature is missing, 1 if one is, 2 if an option is wrong or\n"
    "the report cannot be written.\n";

static const struct option long_options[] = {
    {"json", no_argument, NULL, 'j'},
    {"quick", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int end(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("bytefd-doctor: standard output");
    return FAILED;
}

int main(int argc, char **argv)
{
    struct findings found = {0};
    int is_json = 0, is_quick = 0, option;

    while ((option = getopt_long(argc, argv, "jqhV", long_options, NULL)) != -1) {
        switch (option) {
        case 'j': is_json = 1; break;
        case 'q': is_quick = 1; break;
        case 'h': fputs(help, stdout); return end(COMPLETE);
        case 'V': printf("bytefd-doctor (bytefd) %s\n", bytefd_version()); return end(COMPLETE);
        default: fputs("Try 'bytefd-doctor --help'.\n", stderr); return FAILED;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "bytefd-doctor: \"%s\" is not an option\n", argv[optind]);
        fputs("Try 'bytefd-doctor --help'.\n", stderr);
        return FAILED;
    }

    look_at_host(&found);
    look_at_library(&found);
    look_at_files(&found);
    look_at_huge_pages(&found);
    look_at_pool(&found);
    look_at_folders(&found);
    look_at_limits(&found);
    look_at_calls(&found);
    if (!is_quick)
        measure(&found);
    conclude(&found);

    if (is_json)
        show_json(stdout);
    else
        show_words(stdout);
    return end(count_missing() > 0 ? INCOMPLETE : COMPLETE);
}
