/* What a container can do as often as it likes, from inside the cgroup DIR:
 *
 *   flood DIR signals    sends itself SIGTERM and SIGSEGV, which it handles
 *   flood DIR kills      kills 300 of its children, then the last one again and again
 *   flood DIR cgroups    makes and removes a cgroup
 *
 * Prints "ready", goes on until there is something on stdin, and prints "did N". */
#define _GNU_SOURCE
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handle(int signal) {
    (void)signal;
    handled = 1;
}

static void join(const char *dir) {
    char path[4096];
    snprintf(path, sizeof path, "%s/cgroup.procs", dir);
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file))
        err(1, "failed to join %s", dir);
}

static void send(pid_t to, int signal) {
    if (kill(to, signal))
        err(1, "failed to send signal %d", signal);
}

static pid_t killed_child(void) {
    pid_t child = fork();
    if (child < 0)
        err(1, "failed to fork");
    if (!child)
        for (;;)
            pause();
    send(child, SIGKILL);
    /* It stays a zombie: one that can be sent more. */
    siginfo_t info;
    if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT))
        err(1, "failed to wait");
    return child;
}

static int is_told_to_end(void) {
    struct pollfd in = { .fd = 0, .events = POLLIN };
    return poll(&in, 1, 0) != 0;
}

int main(int count, char **words) {
    if (count != 3)
        errx(2, "flood DIR signals|kills|cgroups");
    const char *dir = words[1], *what = words[2];
    join(dir);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, handle);
    signal(SIGSEGV, handle);
    char path[4096];
    snprintf(path, sizeof path, "%s/flood", dir);
    pid_t last = 0;
    long did = 0;
    if (!strcmp(what, "kills"))
        for (; did < 300; did++) {
            if (last)
                waitpid(last, NULL, 0);
            last = killed_child();
        }
    puts("ready");
    while (did % 64 || !is_told_to_end()) {
        if (last) {
            send(last, SIGKILL);
            did++;
        } else if (!strcmp(what, "signals")) {
            send(getpid(), SIGTERM);
            send(getpid(), SIGSEGV);
            did += 2;
        } else {
            if (mkdir(path, 0755) || rmdir(path))
                err(1, "failed to make and remove %s", path);
            did += 2;
        }
    }
    printf("did %ld\n", did);
    return 0;
}
