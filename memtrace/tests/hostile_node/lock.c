/* A process whose list of mappings nobody can read: its lock is held by a read of memory that never arrives.
 *
 *   lock FILE   FILE is on a file system that can be silenced
 *
 * Touches some MiB, prints "ready", and waits for a line, after which the file system must be silent. Then one thread
 * reads a page of FILE through /proc/self/mem, which holds the lock while it waits; another maps memory, and waits for the
 * lock, so that whoever comes after it waits too. Prints "locked". */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile char *far;
static volatile int threads[2];
static pthread_barrier_t start, next;

static void *reader(void *nothing) {
    char byte;
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    threads[0] = syscall(SYS_gettid);
    pthread_barrier_wait(&start);
    if (pread(memory, &byte, 1, (long)far) < 0)
        warn("failed to read");
    return nothing;
}

static void *mapper(void *nothing) {
    threads[1] = syscall(SYS_gettid);
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&next);
    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return nothing;
}

/* Waits until a thread waits in this call. Nothing here may map memory or fault. */
static void wait_for(int thread, long call) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
    do {
        usleep(1000);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        long count = read(file, text, sizeof text - 1);
        close(file);
        text[count > 0 ? count : 0] = 0;
        /* Of a thread that runs it says "running". */
    } while (text[0] < '0' || text[0] > '9' || atol(text) != call);
}

int main(int count, char **words) {
    int file = count == 2 ? open(words[1], O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        err(1, "failed to open the file");
    long length = lseek(file, 0, SEEK_END);
    far = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
    if (far == MAP_FAILED)
        err(1, "failed to map it");
    /* The last page: nobody has read it. */
    far += (length - 1) & ~4095L;
    char *some = malloc(8 << 20);
    memset(some, 1, 8 << 20);
    pthread_t ids[2];
    pthread_barrier_init(&start, NULL, 3);
    pthread_barrier_init(&next, NULL, 2);
    pthread_create(&ids[0], NULL, reader, NULL);
    pthread_create(&ids[1], NULL, mapper, NULL);
    puts("ready");
    fflush(stdout);
    (void)getchar();
    pthread_barrier_wait(&start);
    wait_for(threads[0], SYS_pread64);
    pthread_barrier_wait(&next);
    wait_for(threads[1], SYS_mmap);
    /* puts has its buffer already. */
    puts("locked");
    fflush(stdout);
    for (;;)
        pause();
}
