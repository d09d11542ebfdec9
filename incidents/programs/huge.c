/* Freed memory that comes back as huge pages: huge MIB KEEP_ONE_OF. As khugepaged does, by MADV_COLLAPSE. */
#define _GNU_SOURCE
#include <err.h>
#include <stdint.h>
#include <sys/mman.h>

#include "incident.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    size_t size = 1000, number = (size_t)atol(arguments[1]) * MIB / 1024, keep = (size_t)atol(arguments[2]);
    char **blocks = calloc(number, sizeof *blocks);
    for (size_t at = 0; at < number; at++) {
        blocks[at] = malloc(size);
        memset(blocks[at], 1, size);
    }
    uintptr_t from = (uintptr_t)blocks[0], to = (uintptr_t)blocks[number - 1];
    for (size_t at = 0; at < number; at++)
        if (at % keep)
            free(blocks[at]);
    malloc_trim(0);
    from = (from + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
    size_t collapsed = 0;
    for (; from + 2 * MIB <= to; from += 2 * MIB)
        collapsed += !madvise((void *)from, 2 * MIB, MADV_COLLAPSE);
    if (!collapsed)
        errx(1, "this kernel makes no huge pages on request");
    tell_heap();
    ready();
    for (;;)
        pause();
}
