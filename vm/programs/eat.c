/*
 * eat STEP...: allocates memory step by step.
 *
 *   group DIR    moves itself into this cgroup
 *   adj N        sets its own oom_score_adj
 *   comm NAME    sets its own name
 *   touch MIB    maps this amount of anonymous memory and writes to every page
 *   ready NAME   creates the file /run/ready.NAME
 *   hold         waits for a signal
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static void put(const char *directory, const char *file, const char *text)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", directory, file);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

static void touch(size_t bytes)
{
	/* MAP_NORESERVE: the kernel would refuse more memory than the node has, and the test wants more. */
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	/* Small pages, so that the limit is reached to the exact page. */
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < bytes; at += 4096)
		memory[at] = 1;
}

static const char *next(char ***steps)
{
	const char *value = *(*steps)++;
	if (!value) {
		fputs("eat: a step lacks its value\n", stderr);
		exit(2);
	}
	return value;
}

int main(int count, char **steps)
{
	char number[32];
	(void)count;
	snprintf(number, sizeof number, "%d", getpid());
	for (steps++; *steps;) {
		const char *step = *steps++;
		if (!strcmp(step, "group")) {
			put(next(&steps), "cgroup.procs", number);
		} else if (!strcmp(step, "adj")) {
			put("/proc/self", "oom_score_adj", next(&steps));
		} else if (!strcmp(step, "comm")) {
			prctl(PR_SET_NAME, next(&steps));
		} else if (!strcmp(step, "touch")) {
			touch(strtoul(next(&steps), NULL, 10) << 20);
		} else if (!strcmp(step, "ready")) {
			char file[64];
			snprintf(file, sizeof file, "ready.%s", next(&steps));
			put("/run", file, "");
		} else if (!strcmp(step, "hold")) {
			for (;;)
				pause();
		} else {
			fprintf(stderr, "eat: no such step: %s\n", step);
			return 2;
		}
	}
	return 0;
}
