/*
 * four_ways: shares the same bytes between two processes in four ways.
 *
 *     cc -std=c11 four_ways.c -o four_ways $(pkg-config --cflags --libs bytefd)
 *     ./four_ways
 *
 * The child uses only an address from the parent: the number of a segment, a name, a socket, a
 * path. It prints the text that it finds there. Only the sent memfd is sealed, so that no process
 * can change it while the child reads it.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char text[] = "the same bytes";
static bytefd_error error;

/* Returns the status of a call. Ends the program if the call has failed. */
static int must(int status)
{
    if (status < 0) {
        fprintf(stderr, "four_ways: %s: %s\n", error.op, error.message);
        exit(1);
    }
    return status;
}

static void show(const char *way, bytefd_map *map)
{
    printf("%-14s %.*s\n", way, (int)sizeof text - 1, (const char *)bytefd_map_data(map));
    bytefd_map_close(map);
    fflush(stdout);
    _exit(0);
}

static void wait_for_child(void)
{
    int status;
    if (wait(&status) < 0 || status != 0)
        exit(1);
}

static void system_v(void)
{
    bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
    bytefd_map *map;
    int shmid;

    options.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_TRANSIENT;
    options.access = BYTEFD_MAP_WRITE;
    options.length = sizeof text;
    must(bytefd_map_sysv(IPC_PRIVATE, &options, &map, &shmid, &error));
    memcpy(bytefd_map_data(map), text, sizeof text);
    if (fork() == 0) {
        bytefd_map *found;
        options.flags = BYTEFD_SYSV_BY_ID;
        options.access = BYTEFD_MAP_READ;
        must(bytefd_map_sysv(shmid, &options, &found, NULL, &error));
        show("System V", found);
    }
    wait_for_child();
    bytefd_map_close(map);
}

static void named(void)
{
    bytefd_shm_options options = BYTEFD_SHM_OPTIONS_INIT;
    bytefd_map_options writing = BYTEFD_MAP_OPTIONS_INIT;
    char name[BYTEFD_SHM_NAME_SIZE];
    bytefd_map *map;

    options.access = writing.access = BYTEFD_MAP_WRITE;
    options.flags = BYTEFD_SHM_CREATE | BYTEFD_SHM_EXCLUSIVE | BYTEFD_SHM_OWNED;
    options.length = sizeof text;
    int fd = must(bytefd_shm_open("four_ways", &options, name, sizeof name, &error));
    must(bytefd_map_fd(fd, &writing, &map, &error));
    close(fd);
    memcpy(bytefd_map_data(map), text, sizeof text);
    if (fork() == 0) {
        bytefd_map *found;
        fd = must(bytefd_shm_open(name, NULL, NULL, 0, &error));
        must(bytefd_map_fd(fd, NULL, &found, &error));
        show("named", found);
    }
    wait_for_child();
    bytefd_map_close(map);
    must(bytefd_shm_unlink(name, &error));
}

static void sent(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        exit(1);
    if (fork() == 0) {
        bytefd_map *found;
        char message[1];
        size_t length = sizeof message, count = 1;
        int fd;
        bytefd_requirements sealed = BYTEFD_REQUIREMENTS_INIT;
        sealed.min_length = sizeof text;
        must(bytefd_receive(pair[1], message, &length, &fd, &count, &sealed, NULL, &error));
        if (count == 0)
            _exit(1);
        must(bytefd_map_fd(fd, NULL, &found, &error));
        show("sent memfd", found);
    }
    int fd = must(shm_wrap_buffer(text, sizeof text, NULL, &error));
    must(bytefd_send(pair[0], "!", 1, &fd, 1, NULL, &error));
    close(fd);
    wait_for_child();
    close(pair[0]);
    close(pair[1]);
}

static void mapped_file(void)
{
    bytefd_map_options writing = BYTEFD_MAP_OPTIONS_INIT;
    char path[] = "/tmp/four_ways.XXXXXX";
    bytefd_map *map;

    int fd = mkstemp(path);
    if (fd < 0)
        exit(1);
    close(fd);
    writing.access = BYTEFD_MAP_WRITE;
    writing.file_size = sizeof text;
    must(map_file(path, &writing, &map, &error));
    memcpy(bytefd_map_data(map), text, sizeof text);
    if (fork() == 0) {
        bytefd_map *found;
        must(map_file(path, NULL, &found, &error));
        show("mapped file", found);
    }
    wait_for_child();
    bytefd_map_close(map);
    unlink(path);
}

int main(void)
{
    system_v();
    named();
    sent();
    mapped_file();
    return 0;
}
