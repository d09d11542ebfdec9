/* A file system that never answers: mounts FUSE over DIR and leaves whoever comes by waiting.
 *
 *   hang DIR early   does not even begin: those who wait can be killed
 *   hang DIR late    begins, takes each request, and answers none: those who wait can not be killed
 *
 * Prints "mounted", and stays until it is killed; then all that waits is let go. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static char request[1 << 17];

static void begin(int fuse) {
    if (read(fuse, request, sizeof request) < 0)
        err(1, "failed to read the first request");
    struct { struct fuse_out_header header; struct fuse_init_out init; } answer = {
        .header = { .len = sizeof answer, .unique = ((struct fuse_in_header *)request)->unique },
        .init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 },
    };
    if (write(fuse, &answer, sizeof answer) < 0)
        err(1, "failed to answer it");
}

int main(int count, char **words) {
    if (count != 3)
        errx(2, "hang DIR early|late");
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0)
        err(1, "failed to open /dev/fuse");
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (mount("hang", words[1], "fuse", MS_NODEV | MS_NOSUID, options))
        err(1, "failed to mount over %s", words[1]);
    int late = !strcmp(words[2], "late");
    if (late)
        begin(fuse);
    puts("mounted");
    fflush(stdout);
    while (!late || read(fuse, request, sizeof request) > 0)
        if (!late)
            pause();
    return 0;
}
