/* Makes known system calls and page faults, then says what it did: one line each, in the order in which it happened.
 *
 *   calls           mmap, munmap, mremap, mprotect, brk and madvise, some of which fail: "failed NAME" for those
 *   faults PAGES [PAUSE]   touches so many pages one by one, at a pace: "range START END"
 *   storm FAULTS    makes so many page faults as fast as it goes: "range START END", and "faults COUNTED"
 *
 * Nothing is printed, and nothing allocated, until the last call is made.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096 };

static char said[8192];
static size_t length;

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    length += (size_t)vsnprintf(said + length, sizeof said - length, format, arguments);
    va_end(arguments);
}

static long map(unsigned long addr, unsigned long len, int prot, int flags, int fd, unsigned long offset) {
    long result = syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
    if (result == -1)
        say("failed mmap\n");
    else
        say("mmap %#lx %#lx %#x %#x %d %#lx\n", result, len, prot, flags, fd, offset);
    return result;
}

static void unmap(unsigned long addr, unsigned long len) {
    if (syscall(SYS_munmap, addr, len) == -1)
        say("failed munmap\n");
    else
        say("munmap %#lx %#lx\n", addr, len);
}

static long remap(unsigned long addr, unsigned long old, unsigned long new, unsigned long flags) {
    long result = syscall(SYS_mremap, addr, old, new, flags, 0);
    if (result == -1)
        say("failed mremap\n");
    else
        say("mremap %#lx %#lx %#lx %#lx %#lx\n", addr, old, result, new, flags);
    return result;
}

static void set_break(unsigned long request) {
    if ((unsigned long)syscall(SYS_brk, request) != request)
        say("failed brk\n");
    else
        say("brk %#lx\n", request);
}

static void advise(unsigned long addr, unsigned long len, int advice) {
    if (syscall(SYS_madvise, addr, len, advice) == -1)
        say("failed madvise\n");
    else
        say("madvise %#lx %#lx %d\n", addr, len, advice);
}

static void protect(unsigned long addr, unsigned long len, int prot) {
    if (syscall(SYS_mprotect, addr, len, prot) == -1)
        say("failed mprotect\n");
    else
        say("mprotect %#lx %#lx %#x\n", addr, len, prot);
}

static void calls(void) {
    const int both = PROT_READ | PROT_WRITE, private = MAP_PRIVATE | MAP_ANONYMOUS;
    int file = open("/proc/self/exe", O_RDONLY);
    unsigned long start = (unsigned long)syscall(SYS_brk, 0);

    long area = map(0, 0x123000, both, private, -1, 0);
    map(0, PAGE, PROT_READ, MAP_PRIVATE, file, PAGE);
    map(0, 777, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    map(0, PAGE, PROT_READ, MAP_PRIVATE, 999, 0);
    map(0, 0, both, private, -1, 0);
    map((unsigned long)area + 0x10000, 2 * PAGE, PROT_READ, private | MAP_FIXED, -1, 0);
    advise((unsigned long)area, 0x8000, MADV_DONTNEED);
    advise((unsigned long)area, PAGE, 4711);
    advise((unsigned long)area, 100, MADV_FREE);
    unmap((unsigned long)area + 0x20000, 3 * PAGE);
    unmap((unsigned long)area + 1, PAGE);
    long tail = remap((unsigned long)area + 0x30000, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    remap((unsigned long)tail, 64 * PAGE, PAGE, 0);
    remap(PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    protect((unsigned long)area + 0x40000, 2 * PAGE, PROT_NONE);
    protect((unsigned long)area + 0x40000, 100, PROT_READ);
    protect(PAGE, PAGE, PROT_READ);
    set_break(start + 0x5000);
    set_break(start + 0x2345);
    set_break(0);
    set_break(1UL << 62);
    set_break(start);
    unmap((unsigned long)area, 0x10000);
}

/* Touches so many pages, with a pause of so many microseconds after each 64. */
static void faults(unsigned long pages, unsigned long pause) {
    volatile char *range = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (range == MAP_FAILED)
        err(1, "failed to map %lu pages", pages);
    madvise((void *)range, pages * PAGE, MADV_NOHUGEPAGE);
    for (unsigned long page = 0; page < pages; page++) {
        range[page * PAGE] = 1;
        if (page % 64 == 63 && pause)
            usleep(pause);
    }
    say("range %#lx %#lx\n", (unsigned long)range, (unsigned long)range + pages * PAGE);
}

static long faults_so_far(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* The same pages again and again, as fast as it goes; says how many faults the kernel has counted. */
static void storm(unsigned long count) {
    enum { PAGES = 256 };
    volatile char *range = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (range == MAP_FAILED)
        err(1, "failed to map %d pages", PAGES);
    madvise((void *)range, PAGES * PAGE, MADV_NOHUGEPAGE);
    long before = faults_so_far();
    for (unsigned long done = 0; done < count; done++) {
        if (done % PAGES == 0)
            madvise((void *)range, PAGES * PAGE, MADV_DONTNEED);
        range[done % PAGES * PAGE] = 1;
    }
    say("range %#lx %#lx\n", (unsigned long)range, (unsigned long)range + PAGES * PAGE);
    say("faults %ld\n", faults_so_far() - before);
}

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "calls"))
        calls();
    else if (count > 2 && !strcmp(arguments[1], "faults"))
        faults(strtoul(arguments[2], NULL, 10), count > 3 ? strtoul(arguments[3], NULL, 10) : 0);
    else if (count > 2 && !strcmp(arguments[1], "storm"))
        storm(strtoul(arguments[2], NULL, 10));
    else
        errx(2, "calls, faults PAGES [PAUSE] or storm FAULTS");
    if (write(1, said, length) != (ssize_t)length)
        err(1, "failed to write");
    /* The test reads the lines; the end of this process ends the stream of its events. */
    _exit(0);
}
