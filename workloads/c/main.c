/* Grows, holds and frees memory on command, in several threads. See ../README.md for the protocol. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define MIB (1024UL * 1024UL)
#define MAX_THREADS 64

/* What a worker holds. */
struct block {
	struct block *next;
	size_t size;
};

struct worker {
	pthread_t thread;
	unsigned long random;
	struct block *blocks;
};

enum work { WORK_GROW, WORK_BIG, WORK_FREE, WORK_QUIT };

static struct worker workers[MAX_THREADS];
static unsigned long threads;
static pthread_barrier_t begin, end;
static enum work work;
static unsigned long amount;

static unsigned long next_random(struct worker *worker)
{
	worker->random = worker->random * 6364136223846793005UL + 1442695040888963407UL;
	return worker->random >> 33;
}

/* The function that grows: the tests look for its name in stacks. */
static __attribute__((noinline)) void grow_block(struct worker *worker, size_t size)
{
	struct block *block = malloc(size);
	if (!block)
		abort();
	memset(block, 0x5a, size);
	block->size = size;
	block->next = worker->blocks;
	worker->blocks = block;
}

/* Three quarters in blocks of 32 to 2079 bytes, one quarter in blocks of 192 KiB, which libc maps one by one. */
static void grow(struct worker *worker, size_t bytes)
{
	size_t small = bytes / 4 * 3, done = 0;
	while (done < small) {
		size_t size = 32 + next_random(worker) % 2048;
		grow_block(worker, size);
		done += size;
	}
	while (done < bytes) {
		grow_block(worker, 192 * 1024);
		done += 192 * 1024;
	}
}

static void release(struct worker *worker, unsigned long percent)
{
	struct block **link = &worker->blocks;
	unsigned long seen = 0;
	while (*link) {
		struct block *block = *link;
		seen += percent;
		if (seen >= 100) {
			seen -= 100;
			*link = block->next;
			free(block);
		} else {
			link = &block->next;
		}
	}
}

static void *run(void *argument)
{
	struct worker *worker = argument;
	for (;;) {
		pthread_barrier_wait(&begin);
		if (work == WORK_QUIT)
			return NULL;
		if (work == WORK_GROW)
			grow(worker, amount * MIB / threads);
		else if (work == WORK_BIG)
			grow_block(worker, amount * MIB / threads);
		else
			release(worker, amount);
		pthread_barrier_wait(&end);
	}
}

static void all(enum work what, unsigned long how_much)
{
	work = what;
	amount = how_much;
	pthread_barrier_wait(&begin);
	if (what != WORK_QUIT)
		pthread_barrier_wait(&end);
}

/* One block, written to, held until 300 ms have passed since it was asked for, and freed. */
static __attribute__((noinline)) void burst(size_t size)
{
	struct timespec until;
	char *block;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 300 * 1000 * 1000;
	if (until.tv_nsec >= 1000 * 1000 * 1000) {
		until.tv_nsec -= 1000 * 1000 * 1000;
		until.tv_sec++;
	}
	block = malloc(size);
	if (!block)
		abort();
	memset(block, 0x5a, size);
	/* Else the compiler sees that nobody reads it, and leaves it out. */
	__asm__ volatile("" : : "r"(block) : "memory");
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
	free(block);
}

int main(int argc, char **argv)
{
	char line[128], name[32];
	threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 8;
	if (threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: %s [threads]\n", argv[0]);
		return 2;
	}
	pthread_barrier_init(&begin, NULL, threads + 1);
	pthread_barrier_init(&end, NULL, threads + 1);
	for (unsigned long i = 0; i < threads; i++) {
		workers[i].random = i + 1;
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]))
			abort();
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ok ready");
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long value = 0;
		int fields = sscanf(line, "%31s %lu", name, &value);
		if (fields < 1)
			continue;
		if (!strcmp(name, "quit"))
			break;
		if (!strcmp(name, "grow"))
			all(WORK_GROW, value);
		else if (!strcmp(name, "big"))
			all(WORK_BIG, value);
		else if (!strcmp(name, "main"))
			/* In the main arena, by the main thread, never freed. */
			grow(&workers[MAX_THREADS - 1], value * MIB);
		else if (!strcmp(name, "burst"))
			burst(value * MIB);
		else if (!strcmp(name, "free"))
			all(WORK_FREE, value);
#ifdef __GLIBC__
		else if (!strcmp(name, "trim"))
			malloc_trim(0);
#endif
		else if (strcmp(name, "hold")) {
			printf("error unknown command %s\n", name);
			continue;
		}
		printf("ok %s %lu\n", name, value);
	}
	all(WORK_QUIT, 0);
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	puts("ok quit");
	return 0;
}
