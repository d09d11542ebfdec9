/* A worker that remembers every session: leak RATE_KIB SIZE. Any libc. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct session {
    struct session *next;
    char body[];
};

static struct session *sessions;

__attribute__((noinline)) static void remember_session(size_t size) {
    struct session *session = malloc(sizeof *session + size);
    memset(session->body, 'x', size);
    session->next = sessions;
    sessions = session;
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
    if (count < 3)
        return 2;
    double rate = atof(arguments[1]) * 1024, begin = now(), kept = 0;
    size_t size = (size_t)atol(arguments[2]);
    for (;;) {
        for (; kept < (now() - begin) * rate; kept += (double)size)
            remember_session(size);
        usleep(20000);
    }
}
