// A server that remembers every session: leak RATE_KIB BLOCK BASE_MIB [READY_AFTER]. It leaks RATE_KIB a second, for ever.
#include <map>
#include <string>
#include <vector>

#include "incident.h"

struct Session {
    std::string token;
    std::vector<char> body;
};

static std::map<long, Session> sessions;
static std::vector<std::string> index_of_base;

__attribute__((noinline)) void remember_session(long id, size_t size) {
    Session session;
    session.token = "token-" + std::to_string(id);
    session.body.assign(size, 'x');
    sessions.emplace(id, std::move(session));
}

__attribute__((noinline)) void handle_request(long id, size_t size) {
    remember_session(id, size);
    asm volatile("" ::: "memory");
}

int main(int count, char **arguments) {
    if (count < 4)
        return 2;
    double rate = atof(arguments[1]) * 1024;
    size_t size = (size_t)atol(arguments[2]);
    size_t base = (size_t)atol(arguments[3]) * MIB;
    double ready_after = count > 4 ? atof(arguments[4]) : 0;
    for (size_t taken = 0; taken < base; taken += 4096)
        index_of_base.emplace_back(4000, 'i');
    double begin = now(), leaked = 0;
    bool is_ready = false;
    for (long id = 0;;) {
        for (; leaked < (now() - begin) * rate; leaked += (double)size + 96)
            handle_request(id++, size);
        tell_heap();
        if (!is_ready && ready_after > 0 && now() - begin > ready_after) {
            is_ready = true;
            ready();
        }
        rest(0.05);
    }
}
