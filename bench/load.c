/*
 * load NAME COUNT [THREADS]: performs one operation COUNT times and prints the nanoseconds per operation.
 *
 *   fault       touches a page that is not present, 1 MiB at a time, freed with one madvise. The processor still has
 *               these pages in its caches, so this is the cheapest possible fault
 *   fill        the same, 64 MiB at a time: pages from all over the memory, like those of a growing program
 *   mmap        mmap and munmap of 64 KiB
 *   mmap8       mmap of 8 pages, one write to each, munmap
 *   syscall     getppid
 *   churn       malloc and free of 16 bytes to 64 KiB in THREADS threads, each with 512 live blocks
 *   spawn       fork, exec and wait of this program
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL

extern char **environ;

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static char *map(size_t bytes)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	return memory;
}

static void fault(long count, size_t piece)
{
	char *memory = map(piece);
	madvise(memory, piece, MADV_NOHUGEPAGE);
	for (long i = 0; i < count; i++) {
		size_t at = (size_t)i * PAGE % piece;
		if (!at)
			madvise(memory, piece, MADV_DONTNEED);
		memory[at] = 1;
	}
}

static void map_and_unmap(long count, size_t bytes, int touched)
{
	for (long i = 0; i < count; i++) {
		volatile char *memory = map(bytes);
		for (int page = 0; page < touched; page++)
			memory[page * PAGE] = 1;
		munmap((void *)memory, bytes);
	}
}

static void *churn(void *count)
{
	enum { ALIVE = 512 };
	void *blocks[ALIVE] = {0};
	uint64_t random = (uint64_t)(uintptr_t)&blocks | 1;
	for (long i = 0; i < *(long *)count; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		size_t at = random % ALIVE, size = 16UL << (random >> 32) % 13;
		free(blocks[at]);
		blocks[at] = malloc(size);
		if (!blocks[at])
			fail("malloc");
		memset(blocks[at], 1, size < 256 ? size : 256);
	}
	for (int at = 0; at < ALIVE; at++)
		free(blocks[at]);
	return NULL;
}

static void spawn(long count)
{
	for (long i = 0; i < count; i++) {
		char *arguments[] = {"load", NULL};
		pid_t child;
		int status;
		if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ))
			fail("posix_spawn");
		if (waitpid(child, &status, 0) != child || status)
			fail("waitpid");
	}
}

int main(int arguments, char **argument)
{
	struct timespec start, end;
	if (arguments < 3)
		return 0;
	const char *name = argument[1];
	long count = atol(argument[2]);
	int threads = arguments > 3 ? atoi(argument[3]) : 1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (!strcmp(name, "fault")) {
		fault(count, 1UL << 20);
	} else if (!strcmp(name, "fill")) {
		fault(count, 64UL << 20);
	} else if (!strcmp(name, "mmap")) {
		map_and_unmap(count, 16 * PAGE, 0);
	} else if (!strcmp(name, "mmap8")) {
		map_and_unmap(count, 8 * PAGE, 8);
	} else if (!strcmp(name, "syscall")) {
		for (long i = 0; i < count; i++)
			syscall(SYS_getppid);
	} else if (!strcmp(name, "spawn")) {
		spawn(count);
	} else if (!strcmp(name, "churn")) {
		pthread_t all[64];
		if (threads > 64)
			return 2;
		for (int i = 0; i < threads; i++)
			if (pthread_create(&all[i], NULL, churn, &count))
				fail("pthread_create");
		for (int i = 0; i < threads; i++)
			pthread_join(all[i], NULL);
		count *= threads;
	} else {
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	double took = (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec);
	printf("%.3f\n", took / (double)count);
	return 0;
}
