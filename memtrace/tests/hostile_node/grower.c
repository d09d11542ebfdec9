/* A library, and a program whose memory grows in it.
 *
 * With -DLIBRARY the library. The program: loads the library that it is told, prints "ready" once some MiB were touched
 * there, and waits for a line outside of it. */
#include <dlfcn.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef LIBRARY
__attribute__((noinline)) int grow_in_library(size_t bytes) {
    volatile char *memory = malloc(bytes);
    if (!memory)
        return 1;
    for (size_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    return 0;
}
#else
int main(int count, char **words) {
    void *library = count == 2 ? dlopen(words[1], RTLD_NOW) : NULL;
    int (*grow)(size_t) = library ? (int (*)(size_t))dlsym(library, "grow_in_library") : NULL;
    if (!grow)
        errx(1, "failed to load a library");
    for (int times = 0; times < 64; times++)
        if (grow(1 << 20))
            errx(1, "failed to grow");
    puts("ready");
    fflush(stdout);
    (void)getchar();
    return 0;
}
#endif
