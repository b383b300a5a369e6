/*
 * scand: a service that scans what it is sent over TCP, in worker processes that may crash or hang.
 *
 *     cc -std=c11 scand.c -o scand $(pkg-config --cflags --libs bytefd)
 *     ./scand [-p PORT] [-m MAX_BYTES] [-u SECONDS_FOR_AN_UPLOAD] [-s SECONDS_FOR_A_SCAN]
 *
 * A client sends the length of its upload, 8 bytes with the highest first, then the upload, and
 * shuts down its side. It gets one line: "clean", "FOUND at byte N", or "error: WHY". SIGTERM ends
 * the service when what has begun is done, and a second one at once.
 *
 * - RECEIVERS accept clients, read an upload into a sealed file, put it into the queue, and give
 *   the client the verdict.
 * - WORKERS take uploads from the queue and scan them. They have no client and no other upload.
 * - The parent starts a process for each one that has ended, and touches no upload.
 *
 * The queue is a socket pair for packets, which all share: each packet goes to one worker. It has
 * two descriptors, of the upload and of a socket for the verdict. When a worker dies the kernel
 * closes that socket, and the receiver knows.
 *
 * Uploads are in memory. A memory cgroup must allow RECEIVERS times MAX_BYTES: beyond its limit the
 * kernel kills a process instead of refusing memory. Uploads cannot be on disk (spill_threshold),
 * because a file on disk cannot be sealed.
 */
#define _GNU_SOURCE

#include <bytefd.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVERS = 16, WORKERS = 4, PROCESSES = RECEIVERS + WORKERS, LINE = 256 };

struct service {
    uint64_t max_bytes;
    int64_t upload_ns, scan_ns;
    int listener;
    int queue[2]; /* receivers send to the first, workers receive from the second */
};

static const int64_t SECOND = 1000000000;

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / SECOND, .tv_nsec = ns % SECOND };
}

static void wait_a_moment(void)
{
    struct timespec moment = timespec_of(SECOND / 100);
    nanosleep(&moment, NULL);
}

/* The workers ------------------------------------------------------------------------------- */

/* What virus scanners agreed to find, in two parts so that they do not find it here. */
static const char signature[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-"
                                "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

/* The engine. Returns 0 with its verdict in `line`, or a negative errno. */
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

/* Scans until the queue ends. Returns the exit status. */
static int work(const struct service *service)
{
    struct sigevent kill_it = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct itimerspec in_time = { .it_value = timespec_of(service->scan_ns) }, never = { 0 };
    bytefd_requirements sealed = BYTEFD_REQUIREMENTS_INIT;
    bytefd_transfer_options at_once = BYTEFD_TRANSFER_OPTIONS_INIT;
    bytefd_error error;
    timer_t timer;

    sealed.max_length = service->max_bytes;
    at_once.timeout_ns = 0;
    if (timer_create(CLOCK_MONOTONIC, &kill_it, &timer) < 0)
        return 1;
    for (;;) {
        char message[1], line[LINE];
        size_t length = sizeof message, count = 2;
        int fds[2];
        int status = bytefd_receive(service->queue[1], message, &length, fds, &count, NULL, NULL,
                                    &error);
        if (status == -ENODATA)
            return 0;
        if (status < 0)
            fprintf(stderr, "scand: worker: %s: %s\n", error.op, error.message);
        if (status < 0 || count != 2)
            return 1;
        /* An engine that hangs, or a file system that does not answer, cannot stop this timer. */
        timer_settime(timer, 0, &in_time, NULL);
        /* Unsealed, or of any length, a map could raise SIGBUS or fill the address space. */
        status = bytefd_verify(fds[0], &sealed, &error);
        if (status == 0)
            status = scan(fds[0], line, &error);
        if (status < 0)
            snprintf(line, sizeof line, "error: %s: %s", error.op, error.message);
        /* A receiver that has died needs no verdict. */
        (void)!bytefd_send(fds[1], line, strlen(line), NULL, 0, &at_once, NULL);
        close(fds[0]);
        close(fds[1]);
        timer_settime(timer, 0, &never, NULL);
    }
}

/* The receivers ----------------------------------------------------------------------------- */

/* Reads an upload into a sealed file. Returns its descriptor, or -1 with the reason in `line`. */
static int receive_upload(const struct service *service, int client, char *line)
{
    unsigned char header[8];
    uint64_t announced = 0;
    struct timeval patience = { .tv_sec = service->upload_ns / SECOND,
                                .tv_usec = service->upload_ns % SECOND / 1000 };

    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (recv(client, header, sizeof header, MSG_WAITALL) != sizeof header) {
        strcpy(line, "error: no length came");
        return -1;
    }
    for (size_t i = 0; i < sizeof header; i++)
        announced = announced << 8 | header[i];
    if (announced > service->max_bytes) {
        snprintf(line, LINE, "error: an upload has at most %" PRIu64 " bytes", service->max_bytes);
        return -1;
    }

    bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
    bytefd_stream_options stream = BYTEFD_STREAM_OPTIONS_INIT;
    bytefd_error error;
    struct stat st;
    options.name = "upload";
    options.backend = BYTEFD_BACKEND_MEMFD; /* sealed, or an error */
    stream.size_hint = announced;
    stream.max_bytes = announced + 1;
    stream.timeout_ns = service->upload_ns;
    int upload = bytefd_wrap_stream(client, &options, &stream, &error);
    if (upload < 0) {
        snprintf(line, LINE, "error: %s: %s", error.op, error.message);
        return -1;
    }
    /* One that hangs up in the middle ends its stream too. */
    if (fstat(upload, &st) < 0 || (uint64_t)st.st_size != announced) {
        snprintf(line, LINE, "error: the upload does not have the %" PRIu64 " bytes announced",
                 announced);
        close(upload);
        return -1;
    }
    return upload;
}

/* Has an upload scanned by a worker, and writes its verdict to `line`. */
static void have_scanned(const struct service *service, int upload, char *line)
{
    bytefd_transfer_options patience = BYTEFD_TRANSFER_OPTIONS_INIT;
    bytefd_error error;
    size_t length = LINE - 1, none = 0;
    int pair[2];

    /* Every upload before this one in the queue may need its time. */
    patience.timeout_ns = service->scan_ns * (1 + RECEIVERS / WORKERS) + SECOND;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        snprintf(line, LINE, "error: socketpair: %s", strerror(errno));
        return;
    }
    int sent[2] = { upload, pair[1] };
    int status = bytefd_send(service->queue[0], "!", 1, sent, 2, &patience, &error);
    close(pair[1]); /* the worker's is the only one now */
    if (status == 0)
        status = bytefd_receive(pair[0], line, &length, NULL, &none, NULL, &patience, &error);
    close(pair[0]);
    if (status == 0)
        line[length] = '\0';
    else if (status == -ENODATA || status == -ECONNRESET)
        strcpy(line, "error: the worker has died, or was too slow");
    else
        snprintf(line, LINE, "error: %s: %s", error.op, error.message);
}

/*
 * Sends the answer, and reads on for a second at most: closing a socket with unread data resets the
 * connection, and the client would lose the answer.
 */
static void answer(int client, char *line)
{
    struct timeval moment = { .tv_usec = 100000 };
    char rest[4096];

    strcat(line, "\n");
    send(client, line, strlen(line), MSG_NOSIGNAL);
    shutdown(client, SHUT_WR);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    for (time_t end = time(NULL) + 1; time(NULL) <= end && recv(client, rest, sizeof rest, 0) > 0;)
        continue;
}

/* Serves clients until the listener is shut down. Returns the exit status. */
static int serve(const struct service *service)
{
    for (;;) {
        char line[LINE + 1];
        int client = accept4(service->listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && errno == EINVAL)
            return 0;
        if (client < 0) {
            wait_a_moment(); /* for what is short: descriptors of the whole system, memory */
            continue;
        }
        int upload = receive_upload(service, client, line);
        if (upload >= 0) {
            have_scanned(service, upload, line);
            close(upload);
        }
        answer(client, line);
        close(client);
    }
}

/* The parent -------------------------------------------------------------------------------- */

/* Starts a process. Returns its number, or -1. */
static pid_t start(const struct service *service, bool is_worker)
{
    pid_t parent = getpid(), child = fork();
    if (child != 0)
        return child;
    /* Nothing outlives the parent, also if it is killed. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    prctl(PR_SET_NAME, is_worker ? "scand worker" : "scand receiver");
    close(service->queue[is_worker ? 0 : 1]);
    if (is_worker)
        close(service->listener);
    exit(is_worker ? work(service) : serve(service));
}

/* Keeps all processes running until SIGTERM, and then waits for them. Returns the exit status. */
static int supervise(const struct service *service, const sigset_t *signals)
{
    pid_t processes[PROCESSES] = { 0 }; /* receivers first; 0 for none */
    bool is_ending = false;

    for (;;) {
        int receivers = 0, workers = 0;
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
            for (int i = 0; i < PROCESSES; i++)
                if (processes[i] == ended)
                    processes[i] = 0;
        for (int i = 0; i < PROCESSES; i++) {
            bool is_worker = i >= RECEIVERS;
            /* Workers are needed as long as a receiver can wait for a verdict. */
            if (processes[i] == 0 && (!is_ending || (is_worker && receivers > 0))) {
                pid_t started = start(service, is_worker);
                processes[i] = started > 0 ? started : 0;
            }
            *(is_worker ? &workers : &receivers) += processes[i] != 0;
        }
        if (is_ending && receivers == 0)
            shutdown(service->queue[0], SHUT_WR);
        if (is_ending && receivers + workers == 0)
            return 0;

        /* One that could not be started is tried again, and none faster than after a moment. */
        struct timespec second = timespec_of(SECOND);
        wait_a_moment();
        int signal = sigtimedwait(signals, NULL, &second);
        if (signal == SIGTERM || signal == SIGINT) {
            if (is_ending)
                return 1; /* and the kernel kills the others */
            is_ending = true;
            shutdown(service->listener, SHUT_RD);
        }
    }
}

int main(int argc, char **argv)
{
    struct service service = {
        .max_bytes = 64 << 20,
        .upload_ns = 60 * SECOND,
        .scan_ns = 10 * SECOND,
    };
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof address;
    sigset_t signals;

    for (int option; (option = getopt(argc, argv, "p:m:u:s:")) != -1;) {
        switch (option) {
        case 'p': address.sin_port = htons((uint16_t)atoi(optarg)); break;
        case 'm': service.max_bytes = strtoull(optarg, NULL, 10); break;
        case 'u': service.upload_ns = (int64_t)(atof(optarg) * (double)SECOND); break;
        case 's': service.scan_ns = (int64_t)(atof(optarg) * (double)SECOND); break;
        default: return 2;
        }
    }
    if (service.max_bytes == 0 || service.upload_ns < SECOND / 1000
        || service.scan_ns < SECOND / 1000) {
        fprintf(stderr, "%s: MAX_BYTES is 1 at least, and times are 0.001 at least\n", argv[0]);
        return 2;
    }
    service.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(service.listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(service.listener, (struct sockaddr *)&address, sizeof address) < 0
        || listen(service.listener, 128) < 0
        || getsockname(service.listener, (struct sockaddr *)&address, &size) < 0
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, service.queue) < 0) {
        perror("scand");
        return 1;
    }
    /* exec(3) keeps an ignored SIGCHLD, and then waitpid(2) reports no dead child. */
    signal(SIGCHLD, SIG_DFL);
    /* Its children have them blocked: a terminal's Ctrl-C is for the parent alone. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return supervise(&service, &signals);
}
