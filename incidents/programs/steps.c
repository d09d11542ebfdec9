/* A program whose memory does what its arguments say, step after step; then it sleeps. */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "incident.h"

static size_t block = 64 << 10;
static char **blocks;
static size_t count, room;

/* Seconds are spread over the MiB, so that it grows steadily. */
static void pace(double begin, double seconds, size_t done, size_t all) {
    double ahead = begin + seconds * (double)done / (double)all - now();
    if (ahead > 0)
        rest(ahead);
}

static void keep(char *memory) {
    if (count == room) {
        room = room ? room * 2 : 1024;
        blocks = realloc(blocks, room * sizeof *blocks);
        if (!blocks)
            err(1, "failed to allocate");
    }
    blocks[count++] = memory;
}

#define GROW(name)                                                        \
    __attribute__((noinline)) static void name(size_t bytes, double seconds) { \
        double begin = now();                                             \
        for (size_t taken = 0; taken < bytes; taken += block) {           \
            char *memory = malloc(block);                                 \
            memset(memory, 1, block);                                     \
            keep(memory);                                                 \
            if (taken / MIB != (taken + block) / MIB)                     \
                tell_heap();                                              \
            pace(begin, seconds, taken + block, bytes);                   \
        }                                                                 \
        tell_heap();                                                      \
    }

GROW(load_index)
GROW(serve_requests)
GROW(render_report)

static void let_go(size_t down_to) {
    while (count > down_to)
        free(blocks[--count]);
    tell_heap();
}

/* As a server that renders, and forgets what it rendered. */
static void swing(size_t bytes, double seconds) {
    size_t level = count;
    for (double end = now() + seconds; now() < end;) {
        serve_requests(bytes, 1.5);
        let_go(level);
        rest(0.5);
    }
}

/* Page cache: a file of its own, read again and again. */
static void read_file(size_t bytes, double seconds) {
    char *buffer = malloc(MIB);
    int file = open("file", O_CREAT | O_RDWR, 0600);
    memset(buffer, 7, MIB);
    for (size_t done = 0; done < bytes; done += MIB)
        if (write(file, buffer, MIB) != (ssize_t)MIB)
            err(1, "failed to write");
    if (fsync(file))
        err(1, "failed to write it to the disk");
    for (double end = now() + seconds; now() < end; rest(0.5)) {
        lseek(file, 0, SEEK_SET);
        while (read(file, buffer, MIB) > 0)
            ;
    }
    free(buffer);
}

static void fill(int file, size_t bytes, double seconds) {
    static char buffer[64 << 10];
    double begin = now();
    memset(buffer, 7, sizeof buffer);
    for (size_t done = 0; done < bytes; done += sizeof buffer) {
        if (write(file, buffer, sizeof buffer) != (ssize_t)sizeof buffer)
            err(1, "failed to write");
        if (done / MIB != (done + sizeof buffer) / MIB)
            tell("shmem", (double)(done + sizeof buffer));
        pace(begin, seconds, done + sizeof buffer, bytes);
    }
    tell("shmem", (double)bytes);
}

/* Socket buffers that nobody reads. */
static void sockets(size_t bytes, double seconds) {
    static char buffer[32 << 10];
    double begin = now();
    for (size_t done = 0; done < bytes;) {
        int pair[2], size = 1 << 20;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
            err(1, "failed to create sockets");
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        for (ssize_t sent; (sent = write(pair[0], buffer, sizeof buffer)) > 0;)
            done += (size_t)sent;
        pace(begin, seconds, done, bytes);
    }
}

static size_t stack_bytes;

static void *handler(void *unused) {
    volatile char *stack = alloca(stack_bytes);
    for (size_t at = 0; at < stack_bytes; at += 4096)
        stack[at] = 1;
    pause();
    return unused;
}

static void threads(size_t number, double seconds) {
    double begin = now();
    for (size_t started = 0; started < number; started++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, handler, NULL))
            errx(1, "failed to start a thread");
        pace(begin, seconds, started + 1, number);
    }
}

/* As a server that writes a snapshot in a child. */
static void snapshot(void) {
    pid_t child = fork();
    if (child < 0)
        err(1, "failed to fork");
    if (child == 0)
        for (;;)
            pause();
}

static void rewrite(double seconds) {
    double begin = now();
    for (size_t at = 0; at < count; at++) {
        memset(blocks[at], 2, block);
        pace(begin, seconds, at + 1, count);
    }
}

/* A worker that grows by itself, as those of a prefork server. */
static void workers(size_t number, size_t bytes, double seconds) {
    for (size_t started = 0; started < number; started++) {
        pid_t child = fork();
        if (child < 0)
            err(1, "failed to fork");
        if (child == 0) {
            serve_requests(bytes, seconds);
            for (;;)
                pause();
        }
    }
    rest(seconds + 1);
}

/* Untouched memory in huge pages, each for one byte. */
static void sparse(size_t bytes, double seconds) {
    double begin = now();
    char *memory = mmap(NULL, bytes + 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || madvise(memory, bytes + 2 * MIB, MADV_HUGEPAGE))
        err(1, "failed to map huge pages");
    for (size_t at = 0; at < bytes; at += 2 * MIB) {
        memory[at + 2 * MIB - (size_t)memory % (2 * MIB)] = 1;
        pace(begin, seconds, at + 2 * MIB, bytes);
    }
}

static void line_of_input(void) {
    char line[16];
    if (!fgets(line, sizeof line, stdin))
        exit(0);
}

static char **at;

static const char *word(void) {
    if (!*at)
        errx(2, "a step lacks a value");
    return *at++;
}

static size_t mib(void) {
    return (size_t)atol(word()) * MIB;
}

static double seconds(void) {
    return atof(word());
}

static void one_that_grows(const char *step) {
    size_t bytes = mib();
    double time = seconds();
    if (!strcmp(step, "load")) load_index(bytes, time);
    else if (!strcmp(step, "serve")) serve_requests(bytes, time);
    else if (!strcmp(step, "render")) render_report(bytes, time);
    else if (!strcmp(step, "swing")) swing(bytes, time);
    else if (!strcmp(step, "read")) read_file(bytes, time);
    else if (!strcmp(step, "sockets")) sockets(bytes, time);
    else if (!strcmp(step, "sparse")) sparse(bytes, time);
    else if (!strcmp(step, "memfd")) fill(memfd_create("queue", 0), bytes, time);
    else errx(2, "unknown step %s", step);
}

int main(int arguments, char **values) {
    (void)arguments;
    for (at = values + 1; *at;) {
        const char *step = *at++;
        if (!strcmp(step, "ready")) ready();
        else if (!strcmp(step, "wait")) line_of_input();
        else if (!strcmp(step, "drop")) let_go(0);
        else if (!strcmp(step, "snapshot")) snapshot();
        else if (!strcmp(step, "rest")) rest(seconds());
        else if (!strcmp(step, "rewrite")) rewrite(seconds());
        else if (!strcmp(step, "block")) block = (size_t)atol(word()) << 10;
        else if (!strcmp(step, "tmpfs")) {
            /* Without a name it goes with the last process that has it open. */
            char path[] = "/dev/shm/incident-XXXXXX";
            int file = mkstemp(path);
            if (file < 0 || unlink(path))
                err(1, "failed to create a file in /dev/shm");
            size_t bytes = mib();
            fill(file, bytes, seconds());
        } else if (!strcmp(step, "threads")) {
            size_t number = (size_t)atol(word());
            stack_bytes = (size_t)atol(word()) << 10;
            threads(number, seconds());
        } else if (!strcmp(step, "workers")) {
            size_t number = (size_t)atol(word()), bytes = mib();
            workers(number, bytes, seconds());
        } else one_that_grows(step);
    }
    for (;;)
        pause();
}
