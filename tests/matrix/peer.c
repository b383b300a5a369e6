/* Runs a peer in C; go/internal/peer/main.go says what peers do. */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bytefd_error error;

static int must(int status)
{
    if (status < 0) {
        fprintf(stderr, "peer: %s: %s\n", error.op, error.message);
        exit(1);
    }
    return status;
}

static void must_call(int status, const char *call)
{
    if (status < 0) {
        perror(call);
        exit(1);
    }
}

static void announce(const char *address)
{
    char line[8];
    printf("%s\n", address);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return;
}

static int compare(const unsigned char *got, size_t length, const unsigned char *want,
                   size_t wanted)
{
    if (length != wanted || memcmp(got, want, length) != 0) {
        printf("%zu bytes, and not the %zu of the content\n", length, wanted);
        return 1;
    }
    puts("ok");
    return 0;
}

static int compare_map(bytefd_map *map, const unsigned char *want, size_t wanted)
{
    int status = compare(bytefd_map_data(map), bytefd_map_length(map), want, wanted);
    bytefd_map_close(map);
    return status;
}

static int compare_fd(int fd, const unsigned char *want, size_t wanted)
{
    bytefd_map *map;
    must(bytefd_map_fd(fd, NULL, &map, &error));
    close(fd);
    return compare_map(map, want, wanted);
}

static int unix_socket(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address->sun_path)
        exit(2);
    strcpy(address->sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must_call(fd, "socket");
    return fd;
}

static int make_sent(const char *path, const unsigned char *content, size_t length)
{
    struct sockaddr_un address;
    int server = unix_socket(path, &address);
    int fd = must(shm_wrap_buffer(content, length, NULL, &error));
    must_call(bind(server, (struct sockaddr *)&address, sizeof address), path);
    must_call(listen(server, 1), path);
    printf("%s\n", path);
    fflush(stdout);
    struct pollfd either[2] = {
        { .fd = server, .events = POLLIN },
        { .fd = STDIN_FILENO, .events = POLLIN },
    };
    must_call(poll(either, 2, -1), "poll");
    if (either[0].revents != 0) {
        int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
        must_call(client, "accept");
        must(bytefd_send(client, "!", 1, &fd, 1, NULL, &error));
        close(client);
        char line[8];
        if (fgets(line, sizeof line, stdin) == NULL)
            line[0] = 0;
    }
    close(server);
    close(fd);
    return unlink(path) != 0;
}

static int use_sent(const char *path, const unsigned char *content, size_t length)
{
    struct sockaddr_un address;
    int server = unix_socket(path, &address), fd;
    char message;
    size_t size = 1, count = 1;
    bytefd_requirements sealed = BYTEFD_REQUIREMENTS_INIT;
    must_call(connect(server, (struct sockaddr *)&address, sizeof address), path);
    must(bytefd_receive(server, &message, &size, &fd, &count, &sealed, NULL, &error));
    close(server);
    if (count != 1 || message != '!') {
        printf("the message is %d\n", message);
        return 1;
    }
    return compare_fd(fd, content, length);
}

static int make_named(const char *name, const unsigned char *content, size_t length)
{
    bytefd_shm_options options = BYTEFD_SHM_OPTIONS_INIT;
    bytefd_map_options writing = BYTEFD_MAP_OPTIONS_INIT;
    char full[BYTEFD_SHM_NAME_SIZE];
    bytefd_map *map;
    options.flags = BYTEFD_SHM_CREATE | BYTEFD_SHM_EXCLUSIVE;
    options.access = writing.access = BYTEFD_MAP_WRITE;
    options.length = length;
    int fd = must(bytefd_shm_open(name, &options, full, sizeof full, &error));
    must(bytefd_map_fd(fd, &writing, &map, &error));
    close(fd);
    memcpy(bytefd_map_data(map), content, length);
    announce(full);
    bytefd_map_close(map);
    must(bytefd_shm_unlink(full, &error));
    return 0;
}

static int use_named(const char *name, const unsigned char *content, size_t length)
{
    return compare_fd(must(bytefd_shm_open(name, NULL, NULL, 0, &error)), content, length);
}

static int make_file(const char *path, const unsigned char *content, size_t length)
{
    bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
    bytefd_map *map;
    options.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_MAP_CREATE;
    options.file_size = length;
    must(map_file(path, &options, &map, &error));
    memcpy(bytefd_map_data(map), content, length);
    announce(path);
    bytefd_map_close(map);
    return unlink(path) != 0;
}

static int use_file(const char *path, const unsigned char *content, size_t length)
{
    bytefd_map *map;
    must(map_file(path, NULL, &map, &error));
    return compare_map(map, content, length);
}

static int make_sysv(const char *key, const unsigned char *content, size_t length)
{
    bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
    bytefd_map *map;
    int shmid;
    char text[16];
    options.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_EXCLUSIVE;
    options.access = BYTEFD_MAP_WRITE;
    options.length = length;
    must(bytefd_map_sysv(atoi(key), &options, &map, &shmid, &error));
    memcpy(bytefd_map_data(map), content, length);
    snprintf(text, sizeof text, "%d", shmid);
    announce(text);
    bytefd_map_close(map);
    must(bytefd_sysv_remove(shmid, &error));
    return 0;
}

static int use_sysv(const char *number, const unsigned char *content, size_t length)
{
    bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
    bytefd_map *map;
    options.flags = BYTEFD_SYSV_BY_ID;
    must(bytefd_map_sysv(atoi(number), &options, &map, NULL, &error));
    return compare_map(map, content, length);
}

static int make_tempfile(const char *suffix, const unsigned char *content, size_t length)
{
    bytefd_tempfile_options options = BYTEFD_TEMPFILE_OPTIONS_INIT;
    bytefd_tempfile *file;
    options.suffix = suffix;
    must(bytefd_tempfile_create(content, length, &options, &file, &error));
    announce(bytefd_tempfile_path(file));
    return bytefd_tempfile_close(file) != 0;
}

static int use_inherited(const char *number, const unsigned char *content, size_t length)
{
    int fd = atoi(number);
    must(bytefd_verify(fd, NULL, &error));
    return compare_fd(fd, content, length);
}

static int make_inherited(const unsigned char *content, size_t length, char **command)
{
    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    options.flags = BYTEFD_INHERIT;
    int fd = must(shm_wrap_buffer(content, length, &options, &error));
    if (fd != 3) {
        must_call(dup2(fd, 3), "dup2");
        close(fd);
    }
    execvp(command[0], command);
    perror(command[0]);
    return 1;
}

static void say(const char *what, int stored)
{
    if (stored >= 0)
        printf("%s: writing\n", what);
    else if (stored == -EACCES || stored == -EBADF)
        printf("%s: reading\n", what);
    else
        printf("%s: refused, %d\n", what, -stored);
}

static void say_of_map(const char *what, bytefd_map *map)
{
    size_t copied;
    say(what, bytefd_map_write(map, 0, "!", 1, &copied, &error));
    bytefd_map_close(map);
}

static void say_of_fd(const char *what, int fd)
{
    say(what, pwrite(fd, "!", 1, 0) < 0 ? -errno : 0);
    close(fd);
}

static int defaults(const char *path, const char *name)
{
    bytefd_shm_options creating = BYTEFD_SHM_OPTIONS_INIT;
    bytefd_sysv_options segment = BYTEFD_SYSV_OPTIONS_INIT, attaching = BYTEFD_SYSV_OPTIONS_INIT;
    bytefd_map *map, *other;
    int fd = open(path, O_RDWR | O_CLOEXEC), shmid;
    must_call(fd, path);
    must(map_file(path, NULL, &map, &error));
    say_of_map("file", map);
    must(bytefd_map_fd(fd, NULL, &map, &error));
    say_of_map("descriptor", map);
    must(bytefd_map_memory(4096, NULL, &map, &error));
    say_of_map("memory", map);
    creating.flags = BYTEFD_SHM_CREATE | BYTEFD_SHM_EXCLUSIVE;
    creating.length = 4096;
    say_of_fd("shm created", must(bytefd_shm_open(name, &creating, NULL, 0, &error)));
    say_of_fd("shm opened", must(bytefd_shm_open(name, NULL, NULL, 0, &error)));
    must(bytefd_shm_unlink(name, &error));
    segment.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_EXCLUSIVE | BYTEFD_SYSV_TRANSIENT;
    segment.length = 4096;
    say("sysv created", bytefd_map_sysv(0, &segment, &map, NULL, &error));
    segment.access = BYTEFD_MAP_WRITE;
    must(bytefd_map_sysv(0, &segment, &map, &shmid, &error));
    attaching.flags = BYTEFD_SYSV_BY_ID;
    must(bytefd_map_sysv(shmid, &attaching, &other, NULL, &error));
    say_of_map("sysv attached", other);
    bytefd_map_close(map);
    say("unsealed", bytefd_verify(fd, NULL, &error));
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*make)(const char *, const unsigned char *, size_t);
        int (*use)(const char *, const unsigned char *, size_t);
    } ways[] = {
        { "sent", make_sent, use_sent },
        { "named", make_named, use_named },
        { "file", make_file, use_file },
        { "sysv", make_sysv, use_sysv },
        { "tempfile", make_tempfile, use_file },
        { "inherited", NULL, use_inherited },
    };
    if (argc == 4 && strcmp(argv[1], "defaults") == 0)
        return defaults(argv[2], argv[3]);
    if (argc < 6)
        return 2;
    size_t length = strtoul(argv[4], NULL, 10), seed = strtoul(argv[5], NULL, 10);
    unsigned char *content = malloc(length + 1);
    if (content == NULL)
        return 1;
    for (size_t i = 0; i < length; i++)
        content[i] = (unsigned char)((31 * i + seed) % 251);
    int is_make = strcmp(argv[1], "make") == 0, status = 2;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(argv[2], ways[i].name) != 0)
            continue;
        if (!is_make)
            status = ways[i].use(argv[3], content, length);
        else if (ways[i].make != NULL)
            status = ways[i].make(argv[3], content, length);
        else if (argc > 6)
            status = make_inherited(content, length, argv + 6);
    }
    free(content);
    return status;
}
