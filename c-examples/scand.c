/*
 * scand: scans uploads that clients send over TCP, in worker processes that may crash or hang.
 *
 *     cc -std=c11 scand.c -o scand $(pkg-config --cflags --libs bytefd)
 *     ./scand [-p PORT] [-m MAX_BYTES] [-u SECONDS_FOR_AN_UPLOAD] [-s SECONDS_FOR_A_SCAN]
 *
 * A client sends its upload and shuts down its side, as `nc -N 127.0.0.1 PORT < FILE` does. It gets
 * one line: "clean", "FOUND at byte N", or "error: WHY". SIGTERM ends the service after the uploads
 * that have begun. A second SIGTERM ends it at once.
 *
 * - The parent keeps PAIRS pairs of a receiver and a worker running. It touches no upload.
 * - A receiver serves one client at a time. It reads the upload into a sealed file, sends that file
 *   to its worker, and sends the client the verdict.
 * - A worker scans. It has neither the client's connection nor another upload. If it dies or is
 *   late, its receiver tells the client, kills the worker and ends. The parent then starts a new
 *   pair. A second worker of the same receiver would have a copy of the receiver's memory, which
 *   contains parts of other uploads.
 *
 * Uploads are in memory. A memory cgroup must allow PAIRS times MAX_BYTES, because the kernel kills
 * a process at the limit instead of refusing memory. Uploads cannot be on disk (spill_threshold),
 * because a file on disk cannot be sealed.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 16 /* number of clients that are served at a time */, LINE = 256 };

static bytefd_stream_options upload_limits = BYTEFD_STREAM_OPTIONS_INIT;
static bytefd_transfer_options scan_limits = BYTEFD_TRANSFER_OPTIONS_INIT;
static const struct timespec moment = { .tv_nsec = 100000000 };
static int listener;

/* Starts a process, as fork(2) does. The kernel kills it when this process ends. */
static pid_t start(const char *name)
{
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, name);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) /* the parent ended before prctl(2) */
            _exit(1);
    }
    return child;
}

/* The EICAR test string, in two parts, so that virus scanners do not report this file. */
static const char signature[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-"
                                "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

/* Scans an upload. Writes the verdict to `line` and returns 0, or returns a negative errno. */
static int scan(int upload, char *line, bytefd_error *error)
{
    bytefd_map *map;
    int status = bytefd_map_fd(upload, NULL, &map, error);
    if (status < 0)
        return status;
    const char *bytes = bytefd_map_data(map);
    const char *found = memmem(bytes, bytefd_map_length(map), signature, sizeof signature - 1);
    if (found != NULL)
        snprintf(line, LINE, "FOUND at byte %td", found - bytes);
    else
        strcpy(line, "clean");
    return bytefd_map_close(map);
}

/* Runs a worker, which scans until its receiver ends. Returns the exit status. */
static int work(int receiver)
{
    /* A map of an unsealed file could raise SIGBUS; a map of any length, fill the address space. */
    bytefd_requirements sealed = BYTEFD_REQUIREMENTS_INIT;
    sealed.max_length = upload_limits.max_bytes;
    for (;;) {
        bytefd_error error;
        char line[LINE];
        size_t length = sizeof line, count = 1;
        int upload = -1;
        int status = bytefd_receive(receiver, line, &length, &upload, &count, &sealed, NULL,
                                    &error);
        if (status == -ENODATA)
            return 0;
        if (status == 0)
            status = scan(upload, line, &error);
        if (status < 0)
            snprintf(line, sizeof line, "error: %s", error.message);
        close(upload);
        if (bytefd_send(receiver, line, strlen(line), NULL, 0, NULL, NULL) < 0)
            return 1;
    }
}

/* Answers a client. Returns false if the worker has died or is late. */
static bool serve(int client, int worker)
{
    bytefd_error error;
    char line[LINE];
    size_t length = sizeof line, none = 0;
    int upload = bytefd_wrap_stream(client, NULL, &upload_limits, &error);
    if (upload < 0) {
        dprintf(client, "error: %s\n", error.message);
        return true;
    }
    int status = bytefd_send(worker, "!", 1, &upload, 1, &scan_limits, NULL);
    if (status == 0)
        status = bytefd_receive(worker, line, &length, NULL, &none, NULL, &scan_limits, NULL);
    if (status == 0)
        dprintf(client, "%.*s\n", (int)length, line);
    else
        dprintf(client, "error: the worker %s\n", status == -ETIMEDOUT ? "is late" : "has died");
    close(upload);
    return status == 0;
}

/* Closes a connection after it reads the rest. Unread bytes would reset it and lose the answer. */
static void hang_up(int client)
{
    struct timeval second = { .tv_sec = 1 };
    char rest[4096];

    shutdown(client, SHUT_WR);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    for (time_t end = time(NULL) + 1; time(NULL) <= end && recv(client, rest, sizeof rest, 0) > 0;)
        continue;
    close(client);
}

/* Runs a receiver, which serves clients until the listener is shut down or the worker fails. */
static int receive(void)
{
    int pair[2], client;
    pid_t worker;
    bool works = true;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
        || (worker = start("scand worker")) < 0)
        return 1;
    if (worker == 0) {
        close(listener);
        close(pair[0]);
        return work(pair[1]);
    }
    close(pair[1]); /* now only the worker has it, so that pair[0] shows when the worker dies */
    while (works) {
        struct pollfd events[] = { { listener, POLLIN, 0 }, { pair[0], POLLIN, 0 } };
        poll(events, 2, -1);
        if (events[1].revents != 0) {
            works = false; /* a worker sends nothing unasked, so it has died */
        } else if ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
            works = serve(client, pair[0]);
            hang_up(client);
        } else if (errno == EINVAL) { /* the listener is shut down */
            break;
        } else if (errno != EAGAIN) { /* EAGAIN: another receiver was faster */
            nanosleep(&moment, NULL);
        }
    }
    close(pair[0]); /* this ends a worker that waits for an upload */
    if (!works)
        kill(worker, SIGKILL);
    waitpid(worker, NULL, 0);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    pid_t receivers[PAIRS] = { 0 };
    sigset_t signals;

    upload_limits.max_bytes = 64 << 20;
    upload_limits.timeout_ns = 60000000000;
    scan_limits.timeout_ns = 10000000000;
    for (int option; (option = getopt(argc, argv, "p:m:u:s:")) != -1;) {
        switch (option) {
        case 'p': address.sin_port = htons((uint16_t)atoi(optarg)); break;
        case 'm': upload_limits.max_bytes = strtoull(optarg, NULL, 10); break;
        case 'u': upload_limits.timeout_ns = (int64_t)(atof(optarg) * 1e9); break;
        case 's': scan_limits.timeout_ns = (int64_t)(atof(optarg) * 1e9); break;
        default: return 2;
        }
    }
    if (upload_limits.max_bytes == 0 || upload_limits.timeout_ns <= 0
        || scan_limits.timeout_ns <= 0) {
        fprintf(stderr, "%s: MAX_BYTES and the times must be more than 0\n", argv[0]);
        return 2;
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* accept4(2) must not block: a client wakes all idle receivers, and only one gets it. */
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0
        || listen(listener, 128) < 0
        || getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        perror(argv[0]);
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    signal(SIGPIPE, SIG_IGN); /* clients hang up */
    signal(SIGCHLD, SIG_DFL); /* if it is inherited as ignored, waitpid(2) fails */
    /* Blocked in all processes: all get a terminal's Ctrl-C, but only the parent handles it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    /* Replaces a pair that has ended only after a moment, because the new pair may end at once. */
    while (sigtimedwait(&signals, NULL, &moment) < 0)
        for (int i = 0; i < PAIRS; i++)
            if (receivers[i] <= 0 || waitpid(receivers[i], NULL, WNOHANG) != 0)
                if ((receivers[i] = start("scand receiver")) == 0)
                    return receive();
    shutdown(listener, SHUT_RD);
    for (int i = 0; i < PAIRS; i++)
        while (receivers[i] > 0 && waitpid(receivers[i], NULL, WNOHANG) == 0)
            if (sigtimedwait(&signals, NULL, &moment) > 0)
                return 1; /* and the kernel kills the others */
    return 0;
}
