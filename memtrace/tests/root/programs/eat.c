/* Uses memory, and dies, as its arguments say, one after another. Time comes from stdin, never from a clock.
 *
 *   cgroup DIR   join it                      comm HEX   name of this thread, any bytes
 *   adj N        set oom_score_adj            uid N      become this user
 *   touch MIB    anonymous memory, kept       shmem MIB  shared memory, kept
 *   file PATH    map it and read every page   tid        print "tid N"
 *   wait         print "ready", read a line; at the end of input exit
 *   grow         until killed                 worker     the rest in a second thread; the first one ends
 *   children-in DIR   which cgroup the children of a storm join: who forks them would be killed there with them
 *   storm N      N children one after another, each grows until killed; prints each one's pid
 *   churn N      mmap and munmap a page, N times
 *   fork         the rest in a child; the parent prints "child PID" and waits for it
 *   exec         the rest in a new program
 *   each MIB     touch so much for every line of input    write FILE  append to it until killed
 *   threads N    threads that wait            pipes      fill pipes until killed
 *   fragments MIB  small pieces, most of them freed       copy MIB  touch, fork, print "child PID", and at the next
 *                                                          line of input write it all again
 *   holes MIB      pieces of 10,000 bytes, one of five kept; their free pages stay
 *   hollow MIB     small pieces, few of them kept, and the pages between them given back
 *   in-use         print "in-use BYTES", as malloc counts them
 *   collapse       make huge pages of the heap, as the kernel may at any time
 *   vmas N       N mappings, no two alike side by side, every second one touched
 *   refuse MIB   an address space of that size, and malloc that must not fail
 *   exit N | abort | segv
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <err.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, MIB = 1 << 20, FAR_TOO_MUCH = 1024 };

static const char *program;
static void *run(void *rest);

static void put(const char *file, const char *text) {
    int fd = open(file, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        err(1, "failed to write %s to %s", text, file);
    close(fd);
}

static void touch(size_t bytes, int flags, int fd, int write) {
    int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
    volatile char *memory = mmap(NULL, bytes, protection, flags, fd, 0);
    if (memory == MAP_FAILED)
        err(1, "failed to map %zu bytes", bytes);
    for (size_t at = 0; at < bytes; at += PAGE) {
        if (write)
            memory[at] = 1;
        else
            (void)memory[at];
    }
}

static void grow(void) {
    /* The limit must come long before this; a mistake must not take the node down. */
    for (int mib = 0; mib < FAR_TOO_MUCH; mib++)
        touch(MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    errx(99, "nobody killed me");
}

static void line_of_input(void) {
    char line[64];
    if (!fgets(line, sizeof line, stdin))
        _exit(0);
}

static void each(int mib) {
    for (;;) {
        line_of_input();
        touch((size_t)mib * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    }
}

static void append(const char *path) {
    static char block[1 << 16];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    for (int blocks = 0; fd >= 0 && blocks < FAR_TOO_MUCH * 16; blocks++)
        if (write(fd, block, sizeof block) < 0)
            err(1, "failed to write to %s", path);
    errx(99, "nobody killed me, or failed to open %s", path);
}

static void *sleeper(void *nothing) {
    (void)nothing;
    pause();
    return NULL;
}

static void threads(int count) {
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (int i = 0; i < count; i++)
        if (pthread_create(&thread, &small, sleeper, NULL))
            errx(1, "failed to start thread %d", i);
}

static void pipes(void) {
    static char block[MIB];
    struct rlimit files = { 4096, 4096 };
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < FAR_TOO_MUCH; i++) {
        int ends[2];
        if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, MIB) < 0)
            err(1, "failed to make pipe %d", i);
        if (write(ends[1], block, sizeof block) < 0)
            err(1, "failed to fill pipe %d", i);
    }
    errx(99, "nobody killed me");
}

static void fragments(int mib, int piece, int kept) {
    int count = mib * (MIB / (piece + 16));
    char **pieces = malloc((size_t)count * sizeof *pieces);
    for (int i = 0; i < count; i++) {
        pieces[i] = malloc(piece);
        memset(pieces[i], 1, piece);
    }
    /* The last one stays, so that the heap keeps its size. */
    for (int i = 0; i < count - 1; i++)
        if (i % kept)
            free(pieces[i]);
}

static void collapse(void) {
    enum { HUGE = 2 * MIB, COLLAPSE = 25, MAPPINGS = 64 };
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t from[MAPPINGS], to[MAPPINGS];
    int count = 0, done = 0;
    while (fgets(line, sizeof line, maps) && count < MAPPINGS) {
        char name[64] = "";
        int fields = sscanf(line, "%zx-%zx rw-p %*s %*s %*s %63s", &from[count], &to[count], name);
        count += fields == 2 || (fields == 3 && !strcmp(name, "[heap]"));
    }
    fclose(maps);
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    for (int i = 0; i < count; i++)
        for (size_t at = (from[i] + HUGE - 1) / HUGE * HUGE; at + HUGE <= to[i]; at += HUGE)
            done += madvise((void *)at, HUGE, COLLAPSE) == 0;
    printf("collapsed %d\n", done);
}

/* jemalloc's own figure where it is malloc, else glibc's. */
static size_t in_use(void) {
    int (*mallctl)(const char *, void *, size_t *, void *, size_t);
    *(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
    if (!mallctl) {
        struct mallinfo2 all = mallinfo2();
        return all.uordblks + all.hblkhd;
    }
    size_t bytes = 0, length = sizeof bytes;
    unsigned long long epoch = 1;
    if (mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) || mallctl("stats.allocated", &bytes, &length, NULL, 0))
        errx(1, "failed to ask jemalloc");
    return bytes;
}

static void copy(int mib) {
    size_t bytes = (size_t)mib * MIB;
    volatile char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < bytes; at += PAGE)
        memory[at] = 1;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, 9);
        pause();
        _exit(0);
    }
    printf("child %d\n", child);
    line_of_input();
    for (size_t at = 0; at < bytes; at += PAGE)
        memory[at] = 2;
}

static void refuse(int mib) {
    struct rlimit space = { (rlim_t)mib * MIB, (rlim_t)mib * MIB };
    setrlimit(RLIMIT_AS, &space);
    if (!malloc((size_t)mib * MIB))
        abort();
}

static const char *childrens_cgroup;

static void join(const char *directory) {
    char file[4096];
    snprintf(file, sizeof file, "%s/cgroup.procs", directory);
    put(file, "0");
}

static void vmas(int count) {
    char *area = mmap(NULL, (size_t)count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        err(1, "failed to map %d pages", count);
    for (int i = 0; i < count; i += 2) {
        if (mprotect(area + (size_t)i * PAGE, PAGE, PROT_READ | PROT_WRITE))
            err(1, "failed to make mapping %d", i);
        area[(size_t)i * PAGE] = 1;
    }
}

static void storm(int children) {
    for (int i = 0; i < children; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            if (childrens_cgroup)
                join(childrens_cgroup);
            put("/proc/self/oom_score_adj", "1000");
            grow();
        }
        if (child < 0 || waitpid(child, &status, 0) != child)
            err(1, "failed to fork or wait");
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            errx(1, "child %d ended with status %#x", child, status);
        printf("%d\n", child);
    }
}

static void set_comm(const char *hex) {
    char name[16] = { 0 };
    for (int i = 0; i < 15 && hex[2 * i]; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
        name[i] = (char)strtol(digits, NULL, 16);
    }
    prctl(PR_SET_NAME, name);
}

static void map_file(const char *path) {
    struct stat stat;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &stat) < 0)
        err(1, "failed to open %s", path);
    touch((size_t)stat.st_size, MAP_PRIVATE, fd, 0);
}

static void in_worker(char **rest) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, rest))
        errx(1, "failed to start a thread");
    pthread_exit(NULL);
}

static void in_child(char **rest) {
    pid_t child = fork();
    if (child == 0) {
        run(rest);
        _exit(0);
    }
    printf("child %d\n", child);
    waitpid(child, NULL, 0);
    _exit(0);
}

static void in_new_program(char **rest) {
    char *arguments[32] = { (char *)program };
    for (int i = 0; i < 30 && rest[i]; i++)
        arguments[i + 1] = rest[i];
    execv(program, arguments);
    err(1, "failed to run %s", program);
}

static void *run(void *arguments) {
    for (char **at = arguments; *at; at++) {
        const char *step = *at;
        char **rest = at + 1;
        if (!strcmp(step, "grow")) grow();
        else if (!strcmp(step, "worker")) in_worker(rest);
        else if (!strcmp(step, "fork")) in_child(rest);
        else if (!strcmp(step, "exec")) in_new_program(rest);
        else if (!strcmp(step, "abort")) abort();
        else if (!strcmp(step, "segv")) *(volatile int *)8 = 1;
        else if (!strcmp(step, "tid")) printf("tid %d\n", gettid());
        else if (!strcmp(step, "pipes")) pipes();
        else if (!strcmp(step, "collapse")) collapse();
        else if (!strcmp(step, "in-use")) printf("in-use %zu\n", in_use());
        else if (!strcmp(step, "wait")) {
            puts("ready");
            line_of_input();
        } else {
            const char *value = *++at;
            if (!value) errx(2, "%s needs a value", step);
            int number = atoi(value);
            if (!strcmp(step, "cgroup")) join(value);
            else if (!strcmp(step, "children-in")) childrens_cgroup = value;
            else if (!strcmp(step, "comm")) set_comm(value);
            else if (!strcmp(step, "adj")) put("/proc/self/oom_score_adj", value);
            else if (!strcmp(step, "uid")) { if (setuid((uid_t)number)) err(1, "failed to become %d", number); }
            else if (!strcmp(step, "touch")) touch((size_t)number * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
            else if (!strcmp(step, "shmem")) touch((size_t)number * MIB, MAP_SHARED | MAP_ANONYMOUS, -1, 1);
            else if (!strcmp(step, "file")) map_file(value);
            else if (!strcmp(step, "storm")) storm(number);
            else if (!strcmp(step, "each")) each(number);
            else if (!strcmp(step, "write")) append(value);
            else if (!strcmp(step, "threads")) threads(number);
            else if (!strcmp(step, "fragments")) fragments(number, 2000, 32);
            else if (!strcmp(step, "holes")) fragments(number, 10000, 5);
            else if (!strcmp(step, "hollow")) {
                fragments(number, 2000, 32);
                malloc_trim(0);
            }
            else if (!strcmp(step, "copy")) copy(number);
            else if (!strcmp(step, "vmas")) vmas(number);
            else if (!strcmp(step, "refuse")) refuse(number);
            else if (!strcmp(step, "exit")) _exit(number);
            else if (!strcmp(step, "churn")) {
                for (int i = 0; i < number; i++)
                    munmap(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
            } else errx(2, "unknown step %s", step);
        }
    }
    return NULL;
}

int main(int count, char **arguments) {
    struct rlimit none = { 0, 0 };
    (void)count;
    program = arguments[0];
    setrlimit(RLIMIT_CORE, &none);
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Pages one by one, whatever the host's setting. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    run(arguments + 1);
    return 0;
}
