/* A heap with holes: fragments SIZE MIB KEEP_ONE_OF THREADS. Each thread takes its part of the blocks, and frees all but one of
 * KEEP_ONE_OF. What is in use is told by the allocator itself: jemalloc's mallctl, tcmalloc's extension, or mallinfo2. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>

#include "incident.h"

static size_t size, each, keep_one_of;
static pthread_barrier_t all_taken, all_freed;

static void *work(void *unused) {
    char **blocks = calloc(each, sizeof *blocks);
    for (size_t at = 0; at < each; at++) {
        blocks[at] = malloc(size);
        memset(blocks[at], 1, size);
    }
    pthread_barrier_wait(&all_taken);
    for (size_t at = 0; at < each; at++)
        if (at % keep_one_of)
            free(blocks[at]);
    pthread_barrier_wait(&all_freed);
    for (;;)
        pause();
    return unused;
}

static void tell_own(void) {
    int (*mallctl)(const char *, void *, size_t *, void *, size_t);
    int (*numeric)(const char *, size_t *);
    *(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
    *(void **)&numeric = dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
    size_t value = 0, length = sizeof value;
    uint64_t epoch = 1;
    if (mallctl) {
        mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
        if (!mallctl("stats.allocated", &value, &length, NULL, 0))
            tell("allocated", (double)value);
    } else if (numeric) {
        if (numeric("generic.current_allocated_bytes", &value))
            tell("allocated", (double)value);
    } else {
        tell_heap();
    }
}

int main(int count, char **arguments) {
    if (count < 5)
        return 2;
    size = (size_t)atol(arguments[1]);
    keep_one_of = (size_t)atol(arguments[3]);
    size_t threads = (size_t)atol(arguments[4]);
    /* A program that has run for a while has freed larger blocks, and glibc has raised its threshold for mmap. */
    void *volatile larger = malloc(size * 2);
    free(larger);
    each = (size_t)atol(arguments[2]) * MIB / size / threads;
    pthread_barrier_init(&all_taken, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&all_freed, NULL, (unsigned)threads + 1);
    for (size_t started = 0; started < threads; started++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL))
            return 1;
    }
    pthread_barrier_wait(&all_taken);
    pthread_barrier_wait(&all_freed);
    /* What the program was advised to do. */
    const char *call = getenv("INCIDENT_CALL");
    if (call && !strcmp(call, "malloc_trim(0)"))
        malloc_trim(0);
    tell_own();
    ready();
    for (;;)
        pause();
}
