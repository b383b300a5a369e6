/*
 * main PLUGIN...: uses the guard of each, unloads it, and then has a fault of its own, for its own
 * handler. With REFUSES, nothing can be kept loaded.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void ours(int signal)
{
    static const char text[] = "handled\n";
    (void)signal;
    _exit(write(1, text, sizeof text - 1) < 0);
}

#ifdef REFUSES
void *dlopen(const char *path, int flags)
{
    void *(*theirs)(const char *, int);
    *(void **)&theirs = dlsym(RTLD_NEXT, "dlopen");
    return flags & RTLD_NODELETE ? NULL : theirs(path, flags);
}
#endif

static int use(const char *path)
{
    int status;
    int (*use_a_guard)(void);
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&use_a_guard = dlsym(plugin, "use_a_guard");
    status = use_a_guard();
    return status != 0 || dlclose(plugin) != 0;
}

int main(int argc, char **argv)
{
    volatile char *nothing;
    int at, fd = memfd_create("own", MFD_CLOEXEC);
    if (signal(SIGBUS, ours) == SIG_ERR)
        return 1;
    for (at = 1; at < argc; at++) {
        if (use(argv[at]) != 0) {
            fprintf(stderr, "%s: its guard does not work\n", argv[at]);
            return 1;
        }
    }
    nothing = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    return nothing == MAP_FAILED || nothing[0];
}
