/* A file system that answers until it is told not to: mounts FUSE over DIR, with a copy of FILE in it, DIR/file.
 *
 *   slow DIR FILE all    after a line on stdin it takes no request: those who wait can be killed
 *   slow DIR FILE read   after a line on stdin it answers all but reads: those who wait can not be killed
 *
 * Prints "mounted", and "silent" after the line; stays until it is killed, then all that waits is let go. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_NODE = 2 };

static char request[1 << 18], answer[1 << 18];
static int fuse, file;

static void attributes(struct fuse_attr *to, unsigned long node) {
    struct stat stat;
    if (fstat(file, &stat))
        err(1, "failed to look at the file");
    memset(to, 0, sizeof *to);
    to->ino = node;
    to->nlink = 1;
    to->blksize = 4096;
    to->mode = node == FILE_NODE ? S_IFREG | 0755 : S_IFDIR | 0755;
    to->size = node == FILE_NODE ? (unsigned long)stat.st_size : 0;
}

/* The length of the answer's body, or a negative error. */
static long fill(const struct fuse_in_header *in, char *body) {
    const void *words = in + 1;
    switch (in->opcode) {
    case FUSE_INIT: {
        struct fuse_init_out *out = (void *)body;
        *out = (struct fuse_init_out){ .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 };
        return sizeof *out;
    }
    case FUSE_LOOKUP: {
        struct fuse_entry_out *out = (void *)body;
        if (strcmp(words, "file"))
            return -ENOENT;
        *out = (struct fuse_entry_out){ .nodeid = FILE_NODE, .entry_valid = 1000, .attr_valid = 1000 };
        attributes(&out->attr, FILE_NODE);
        return sizeof *out;
    }
    case FUSE_GETATTR: {
        struct fuse_attr_out *out = (void *)body;
        *out = (struct fuse_attr_out){ .attr_valid = 1000 };
        attributes(&out->attr, in->nodeid);
        return sizeof *out;
    }
    case FUSE_OPEN:
        *(struct fuse_open_out *)body = (struct fuse_open_out){ .open_flags = FOPEN_KEEP_CACHE };
        return sizeof(struct fuse_open_out);
    case FUSE_READ: {
        const struct fuse_read_in *read = words;
        long count = pread(file, body, read->size, read->offset);
        return count < 0 ? -errno : count;
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE:
        return 0;
    default:
        return -ENOSYS;
    }
}

static void serve(int reads) {
    if (read(fuse, request, sizeof request) < 0)
        err(1, "failed to read a request");
    const struct fuse_in_header *in = (void *)request;
    if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INTERRUPT)
        return;
    if (in->opcode == FUSE_READ && !reads)
        return;
    struct fuse_out_header *out = (void *)answer;
    long count = fill(in, answer + sizeof *out);
    *out = (struct fuse_out_header){ .len = sizeof *out + (count > 0 ? count : 0), .unique = in->unique };
    if (count < 0)
        out->error = count;
    /* Whoever asked may be gone. */
    if (write(fuse, answer, out->len) < 0 && errno != ENOENT)
        err(1, "failed to answer");
}

static void say(const char *word) {
    puts(word);
    fflush(stdout);
}

int main(int count, char **words) {
    if (count != 4)
        errx(2, "slow DIR FILE all|read");
    file = open(words[2], O_RDONLY | O_CLOEXEC);
    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (file < 0 || fuse < 0)
        err(1, "failed to open %s or /dev/fuse", words[2]);
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
    if (mount("slow", words[1], "fuse", MS_NODEV, options))
        err(1, "failed to mount over %s", words[1]);
    say("mounted");
    struct pollfd either[] = { { .fd = fuse, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
    while (!(either[1].revents & (POLLIN | POLLHUP))) {
        if (poll(either, 2, -1) < 0)
            err(1, "failed to wait");
        if (either[0].revents & POLLIN)
            serve(1);
    }
    say("silent");
    if (strcmp(words[3], "read"))
        for (;;)
            pause();
    for (;;)
        serve(0);
}
