#define _GNU_SOURCE

#include "try.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

struct outcome try(int (*call)(void *context), void *context)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return (struct outcome){errno, 0};
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        /* An exit status has 8 bits, but the kernel can return a few larger numbers. */
        int error = call(context);
        _exit(error < 0 || error > 255 ? EIO : error);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return (struct outcome){errno, 0};
    }
    if (WIFSIGNALED(status))
        return (struct outcome){0, WTERMSIG(status)};
    return (struct outcome){WEXITSTATUS(status), 0};
}

void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int works(struct outcome outcome)
{
    return outcome.error == 0 && outcome.signal == 0;
}

const char *in_words(struct outcome outcome)
{
    static char text[128];
    if (outcome.signal != 0)
        snprintf(text, sizeof text, "killed: %s", strsignal(outcome.signal));
    else if (outcome.error != 0)
        snprintf(text, sizeof text, "%s: %s", outcome.error == ENOSYS ? "missing" : "refused",
                 strerror(outcome.error));
    else
        return "works";
    return text;
}

int fact_outcome(const char *label, struct outcome outcome)
{
    fact_text(label, "%s", in_words(outcome));
    return works(outcome);
}
