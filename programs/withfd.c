/*
 * withfd: gives the content of pipes to a command that needs real files, without a temporary file
 * on disk.
 *
 *     curl -s https://example.org/archive.zip | withfd unzip -l {}
 *
 * The manual page, withfd(1), describes the options. This process executes the command itself, so
 * that exit status and signals are those of the command. For the same reason it frees no memory.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The same as for env(1) and nohup(1). */
enum { FAILED = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

static const char help[] =
    "Usage: withfd [OPTION]... COMMAND [ARGUMENT]...\n"
    "Runs COMMAND with the path of a file that contains standard input in place of {}.\n"
    "\n"
    "  -f, --file=FILE        give FILE instead of standard input, which is -; can be repeated:\n"
    "                           {1} is the first FILE, and each {} the next one\n"
    "  -i, --stdin            make the first file the standard input of COMMAND too\n"
    "  -I, --replace=TEXT     replace TEXT instead of {} and {1}\n"
    "  -n, --name=NAME        set the name in /proc/self/fd; the default is the name of FILE\n"
    "  -m, --mode=MODE        set the permission bits, octal; the default is 400\n"
    "  -s, --seals=SEALS      all (the default), content (COMMAND can add others), or\n"
    "                           none (COMMAND can change the files)\n"
    "  -r, --read-only        open the descriptors for reading only\n"
    "  -x, --executable       allow the files to be executed\n"
    "  -b, --backend=BACKEND  auto (the default), memfd, shm or tmpfile\n"
    "  -M, --max-bytes=SIZE   fail if a file has more bytes; SIZE can end in K, M or G\n"
    "  -S, --spill=SIZE       store a file that has more bytes on disk, in $TMPDIR, /tmp or\n"
    "                           /var/tmp, without seals\n"
    "  -h, --help             show this text\n"
    "  -V, --version          show the version\n";

static const struct option long_options[] = {
    {"file", required_argument, NULL, 'f'},    {"stdin", no_argument, NULL, 'i'},
    {"replace", required_argument, NULL, 'I'}, {"name", required_argument, NULL, 'n'},
    {"mode", required_argument, NULL, 'm'},    {"seals", required_argument, NULL, 's'},
    {"read-only", no_argument, NULL, 'r'},     {"executable", no_argument, NULL, 'x'},
    {"backend", required_argument, NULL, 'b'}, {"max-bytes", required_argument, NULL, 'M'},
    {"spill", required_argument, NULL, 'S'},   {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0},
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("withfd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(FAILED);
}

/* Flushes standard output, and returns the exit status. */
static int written(void)
{
    if (fflush(stdout) == EOF || ferror(stdout))
        fail("standard output: %s", strerror(errno));
    return 0;
}

static void *checked(void *memory)
{
    if (memory == NULL)
        fail("out of memory");
    return memory;
}

/* Parses a number of bytes, such as 4096, 4K, 16M or 1G. */
static uint64_t size_of(const char *option, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    const char *units = "KMG", *unit = *end == '\0' ? NULL : strchr(units, *end);
    int shift = unit == NULL ? 0 : 10 * (int)(unit - units + 1);
    if (*text < '0' || *text > '9' || errno != 0 || number == 0 || end[unit != NULL] != '\0' ||
        number > UINT64_MAX >> shift)
        fail("%s: \"%s\" is not a number of bytes, such as 4096, 4K, 16M or 1G", option, text);
    return (uint64_t)number << shift;
}

static uint32_t mode_of(const char *text)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    if (*text < '0' || *text > '7' || *end != '\0' || mode == 0 || mode > 0777)
        fail("--mode: \"%s\" is not an octal number from 1 to 777, such as 600", text);
    return (uint32_t)mode;
}

static uint64_t flag_of_seals(const char *text)
{
    if (strcmp(text, "all") == 0)
        return 0;
    if (strcmp(text, "content") == 0)
        return BYTEFD_SEAL_CONTENT;
    if (strcmp(text, "none") == 0)
        return BYTEFD_WRITABLE;
    fail("--seals: \"%s\" is not all, content or none", text);
}

static uint32_t backend_of(const char *text)
{
    if (strcmp(text, "auto") == 0)
        return BYTEFD_BACKEND_AUTO;
    if (strcmp(text, "memfd") == 0)
        return BYTEFD_BACKEND_MEMFD;
    if (strcmp(text, "shm") == 0)
        return BYTEFD_BACKEND_SHM;
    if (strcmp(text, "tmpfile") == 0)
        return BYTEFD_BACKEND_TMPFILE;
    fail("--backend: \"%s\" is not auto, memfd, shm or tmpfile", text);
}

/*
 * Returns the number in "/dev/fd/63", which a shell gives for <(...); otherwise -1. The command
 * does not need that descriptor, because it has been read.
 */
static int number_in(const char *file)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t length = strlen(folders[i]);
        char *end;
        if (strncmp(file, folders[i], length) != 0 || file[length] < '0' || file[length] > '9')
            continue;
        long number = strtol(file + length, &end, 10);
        if (*end == '\0' && number > STDERR_FILENO && number < 1 << 30)
            return (int)number;
    }
    return -1;
}

/* Returns the last part of a path, if it can be a label: no newline, at most 200 bytes. */
static const char *label_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash == NULL ? file : slash + 1;
    size_t length = strlen(name);
    return length == 0 || length > 200 || strchr(name, '\n') != NULL ? "file" : name;
}

/* Returns a descriptor for the content of `file`, which the command inherits. */
static int wrap(const char *file, bytefd_wrap_options options, const bytefd_stream_options *stream)
{
    int is_stdin = strcmp(file, "-") == 0;
    const char *shown = is_stdin ? "standard input" : file;
    int from = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        fail("%s: %s", shown, strerror(errno));
    if (options.name == NULL)
        options.name = is_stdin ? "stdin" : label_of(file);

    bytefd_error error;
    int fd = bytefd_wrap_stream(from, &options, stream, &error);
    if (fd < 0)
        fail("%s: %s: %s", shown, error.op, error.message);
    if (!is_stdin)
        close(from);
    int given = number_in(file);
    if (given >= 0)
        fcntl(given, F_SETFD, FD_CLOEXEC);
    return fd;
}

/* Returns the path under which the command finds a file. */
static const char *path_of(int fd)
{
    bytefd_error error;
    char *path = checked(malloc(32));
    if (bytefd_path(fd, path, 32, &error) < 0)
        fail("%s: %s", error.op, error.message);
    return path;
}

/* The text in an argument that is replaced by a path, and the paths. */
struct places {
    const char *text;     /* from --replace; NULL means {} and {1} */
    const char **paths;
    size_t count;
    size_t next;          /* number of {} that were found */
    int is_any;
};

/* Returns the path for the place at `at`, and the length of the place. NULL if there is none. */
static const char *place_at(struct places *places, const char *at, size_t *length)
{
    const char *text = places->text == NULL ? "{}" : places->text;
    size_t number = 0;
    if (strncmp(at, text, strlen(text)) == 0) {
        *length = strlen(text);
        /* If there is only one file, every place is for it. */
        number = places->count == 1 ? 1 : ++places->next;
        if (number > places->count)
            fail("%s number %zu has no file: %zu files are given", text, number, places->count);
    } else if (places->text == NULL && at[0] == '{' && at[1] >= '1' && at[1] <= '9') {
        char *end;
        number = strtoul(at + 1, &end, 10);
        *length = (size_t)(end - at) + 1;
        if (*end != '}' || number > places->count)
            return NULL;
    } else {
        return NULL;
    }
    places->is_any = 1;
    return places->paths[number - 1];
}

/* Returns a copy of an argument, with the paths in their places. */
static char *fill_in(const char *argument, struct places *places)
{
    char *result;
    size_t size, length;
    FILE *out = checked(open_memstream(&result, &size));
    while (*argument != '\0') {
        const char *path = place_at(places, argument, &length);
        if (path != NULL) {
            fputs(path, out);
            argument += length;
        } else {
            fputc(*argument++, out);
        }
    }
    if (fclose(out) != 0)
        fail("out of memory");
    return result;
}

/* Makes the content of `fd` the standard input of the command; for -1 it is empty. */
static void set_stdin(int fd)
{
    bytefd_error error;
    int from = fd < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : bytefd_reopen(fd, 0, &error);
    if (from < 0 && fd >= 0)
        fail("%s: %s", error.op, error.message);
    if (from < 0 || (from != STDIN_FILENO && dup2(from, STDIN_FILENO) < 0))
        fail("standard input: %s", strerror(errno));
    if (from != STDIN_FILENO)
        close(from);
    else
        fcntl(from, F_SETFD, 0);
}

int main(int argc, char **argv)
{
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    bytefd_stream_options stream = BYTEFD_STREAM_OPTIONS_INIT;
    const char **files = checked(calloc((size_t)argc + 1, sizeof *files));
    struct places places = {NULL, NULL, 0, 0, 0};
    int is_stdin_wanted = 0, is_stdin_read = 0, option;

    options.flags = BYTEFD_INHERIT;
    /* Options end at the command, which has options of its own. */
    while ((option = getopt_long(argc, argv, "+f:iI:n:m:s:rxb:M:S:hV", long_options, NULL)) != -1) {
        switch (option) {
        case 'f': files[places.count++] = optarg; break;
        case 'i': is_stdin_wanted = 1; break;
        case 'I': places.text = optarg; break;
        case 'n': options.name = optarg; break;
        case 'm': options.mode = mode_of(optarg); break;
        case 's':
            options.flags &= ~(BYTEFD_SEAL_CONTENT | BYTEFD_WRITABLE);
            options.flags |= flag_of_seals(optarg);
            break;
        case 'r': options.flags |= BYTEFD_READ_ONLY; break;
        case 'x': options.flags |= BYTEFD_EXECUTABLE; break;
        case 'b': options.backend = backend_of(optarg); break;
        case 'M': stream.max_bytes = size_of("--max-bytes", optarg); break;
        case 'S': options.spill_threshold = size_of("--spill", optarg); break;
        case 'h': fputs(help, stdout); return written();
        case 'V': printf("withfd (bytefd) %s\n", bytefd_version()); return written();
        default: fputs("Try 'withfd --help'.\n", stderr); return FAILED;
        }
    }
    if (optind == argc)
        fail("no command is given\nTry 'withfd --help'.");
    if (places.text != NULL && *places.text == '\0')
        fail("--replace: the text is empty");
    if (places.count == 0)
        files[places.count++] = "-";

    int first = -1;
    places.paths = checked(calloc(places.count, sizeof *places.paths));
    for (size_t i = 0; i < places.count; i++) {
        int fd = wrap(files[i], options, &stream);
        first = i == 0 ? fd : first;
        is_stdin_read |= strcmp(files[i], "-") == 0;
        places.paths[i] = path_of(fd);
    }

    /* The name of the command, in which nothing is replaced, its arguments, and any added paths. */
    char **command = checked(calloc((size_t)(argc - optind) + places.count + 1, sizeof *command));
    int length = 0;
    command[length++] = argv[optind];
    while (++optind < argc)
        command[length++] = fill_in(argv[optind], &places);
    for (size_t i = 0; !places.is_any && !is_stdin_wanted && i < places.count; i++)
        command[length++] = checked(strdup(places.paths[i]));

    if (is_stdin_wanted || is_stdin_read)
        set_stdin(is_stdin_wanted ? first : -1);

    execvp(command[0], command);
    int reason = errno;
    fprintf(stderr, "withfd: %s: %s\n", command[0], strerror(reason));
    return reason == ENOENT ? NOT_FOUND : CANNOT_RUN;
}
