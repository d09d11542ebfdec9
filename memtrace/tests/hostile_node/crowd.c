/* What takes many forks, or a page that nobody ever fills in.
 *
 *   crowd children N    N children that wait for the end of their parent
 *   crowd silent        an environment whose pages are left to a userfaultfd that answers nobody; it holds some memory
 *
 * Prints "ready" and waits for a line on stdin. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PADDING = 16 * PAGE, HELD = 32 << 20 };

static void children(long count) {
    for (long n = 0; n < count; n++) {
        pid_t child = fork();
        if (child < 0)
            err(1, "failed to fork child %ld", n);
        if (child)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(0);
        for (;;)
            pause();
    }
}

static void silent(char **words) {
    if (!getenv("PADDING")) {
        static char padding[PADDING];
        memset(padding, 'x', sizeof padding - 1);
        setenv("PADDING", padding, 1);
        execv("/proc/self/exe", words);
        err(1, "failed to run again");
    }
    volatile char *held = malloc(HELD);
    for (size_t at = 0; at < HELD; at += PAGE)
        held[at] = 1;
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = { .api = UFFD_API };
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
        err(1, "no userfaultfd");
    uintptr_t from = ((uintptr_t)getenv("PADDING") + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    struct uffdio_register range = {
        .range = { .start = from, .len = PADDING - 2 * PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING
    };
    if (ioctl(fd, UFFDIO_REGISTER, &range))
        err(1, "failed to register the environment");
    if (madvise((void *)from, PADDING - 2 * PAGE, MADV_DONTNEED))
        err(1, "failed to empty the environment");
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count == 3 && !strcmp(words[1], "children"))
        children(atol(words[2]));
    else if (count == 2 && !strcmp(words[1], "silent"))
        silent(words);
    else
        errx(2, "crowd children N|silent");
    puts("ready");
    getchar();
    return 0;
}
