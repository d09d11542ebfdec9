/* What the programs of incidents share: they write down what they know about themselves, for the judge.
 *
 * A line of $INCIDENT_TRUTH is "NANOSECONDS NAME VALUE"; the clock is that since boot. */
#pragma once

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static inline double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_BOOTTIME, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static inline void tell(const char *name, double value) {
    static int file = -1;
    char line[128];
    struct timespec at;
    const char *path = getenv("INCIDENT_TRUTH");
    if (file < 0 && path)
        file = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    clock_gettime(CLOCK_BOOTTIME, &at);
    int length = snprintf(line, sizeof line, "%lld%09ld %s %.0f\n", (long long)at.tv_sec, at.tv_nsec, name, value);
    if (write(file, line, (size_t)length) != length)
        perror("failed to write down a figure");
}

/* glibc's own figures, of all arenas. */
static inline void tell_heap(void) {
    struct mallinfo2 heap = mallinfo2();
    tell("allocated", (double)heap.uordblks + (double)heap.hblkhd);
    tell("free", (double)heap.fordblks);
}

static inline void ready(void) {
    puts("ready");
    fflush(stdout);
}

static inline void rest(double seconds) {
    struct timespec time = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    nanosleep(&time, NULL);
}
