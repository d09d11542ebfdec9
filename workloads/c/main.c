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

enum work { WORK_GROW, WORK_BIG, WORK_FREE, WORK_CHURN, WORK_QUIT };

/* What a worker that churns says of itself while it does, for who reads it from outside. */
struct churned {
	volatile unsigned long live, done;
};

static struct worker workers[MAX_THREADS];
static unsigned long threads;
static pthread_barrier_t begin, end;
static enum work work;
static unsigned long amount;
static struct churned churned[MAX_THREADS];
static volatile int is_churning;

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

/* What malloc has of a block that is in use: its chunk, or its slot. */
static unsigned long held(const void *block, size_t size)
{
#ifdef __GLIBC__
	return malloc_usable_size((void *)block) + sizeof(size_t);
#else
	/* The slot's own header names its group, which names its record (src/malloc/mallocng/meta.h). */
	static const unsigned short classes[] = {
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146, 170, 204,
		255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460,
		6552, 8191,
	};
	const unsigned char *bytes = block;
	unsigned long units = bytes[-4] ? *(const unsigned *)(bytes - 8) : *(const unsigned short *)(bytes - 2);
	const unsigned long *record = *(const unsigned long **)(bytes - 16 * units - 16);
	unsigned long last = record[4] & 31, class = record[4] >> 6 & 63, pages = record[4] >> 12;
	(void)size;
	if (class == 63)
		return pages * 4096;
	return !last && pages ? pages * 4096 - 16 : classes[class] * 16UL;
#endif
}

/* Frees a block and takes another one, of 32 to 2079 bytes, as fast as it can: what it holds stays about the same. */
static void churn(struct worker *worker)
{
	struct churned *mine = &churned[worker - workers];
	unsigned long count = amount * MIB / threads / 1056;
	struct block **slots = calloc(count, sizeof(*slots));
	if (!slots)
		abort();
	mine->live = held(slots, count * sizeof(*slots));
	while (is_churning) {
		struct block **slot = &slots[next_random(worker) % count];
		size_t size = 32 + next_random(worker) % 2048;
		if (*slot)
			mine->live -= held(*slot, (*slot)->size);
		free(*slot);
		*slot = malloc(size);
		if (!*slot)
			abort();
		(*slot)->size = size;
		mine->live += held(*slot, size);
		mine->done++;
	}
	for (unsigned long i = 0; i < count; i++)
		free(slots[i]);
	free(slots);
	mine->live = 0;
}

/* All that malloc has in use, by its own account, thread caches included; the same by the blocks of the workers. */
static unsigned long in_use(void)
{
#ifdef __GLIBC__
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
#else
	unsigned long bytes = 0;
	for (unsigned long i = 0; i < MAX_THREADS; i++)
		for (struct block *block = workers[i].blocks; block; block = block->next)
			bytes += held(block, block->size);
	return bytes;
#endif
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
		else if (work == WORK_CHURN)
			churn(worker);
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
	if (what != WORK_QUIT && what != WORK_CHURN)
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
		else if (!strcmp(name, "in-use"))
			value = in_use();
		else if (!strcmp(name, "churn")) {
			is_churning = 1;
			all(WORK_CHURN, value);
			value = (unsigned long)churned;
		} else if (!strcmp(name, "rest")) {
			is_churning = 0;
			pthread_barrier_wait(&end);
		}
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
