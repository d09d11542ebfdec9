// Grows, holds and frees memory on command with C++ containers. See ../README.md for the protocol.
#include <dlfcn.h>
#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kMib = 1024 * 1024;

struct Store {
	std::map<std::uint64_t, std::string> small;
	std::vector<std::unique_ptr<std::vector<char>>> large;
	std::uint64_t next = 0;
};

// The function that grows: the tests look for its name in stacks.
__attribute__((noinline)) std::size_t grow_entry(Store &store)
{
	std::size_t size = 64 + store.next * 2654435761U % 1500;
	store.small.emplace(store.next++, std::string(size, 'x'));
	return size;
}

void grow(Store &store, std::size_t bytes)
{
	std::size_t done = 0;
	while (done < bytes / 4 * 3)
		done += grow_entry(store);
	for (; done < bytes; done += 512 * 1024)
		store.large.push_back(std::make_unique<std::vector<char>>(512 * 1024, 'y'));
}

void release(Store &store, unsigned percent)
{
	unsigned seen = 0;
	for (auto entry = store.small.begin(); entry != store.small.end();) {
		seen += percent;
		if (seen >= 100) {
			seen -= 100;
			entry = store.small.erase(entry);
		} else {
			++entry;
		}
	}
	store.large.resize(store.large.size() * (100 - percent) / 100);
}

// What the allocator that was preloaded says: jemalloc's `stats.allocated`, or a property of gperftools.
bool figure(const std::string &name, std::size_t &value)
{
	using Mallctl = int (*)(const char *, void *, std::size_t *, void *, std::size_t);
	using Property = int (*)(const char *, std::size_t *);
	auto mallctl = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"));
	auto property = reinterpret_cast<Property>(dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty"));
	if (mallctl) {
		std::uint64_t epoch = 1;
		std::size_t size = sizeof value;
		mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch);
		return mallctl(name.c_str(), &value, &size, nullptr, 0) == 0;
	}
	return property && property(name.c_str(), &value);
}

// What a thread that churns says of itself, for who reads it from outside.
struct Churned {
	std::atomic<std::uint64_t> live, done;
};

constexpr std::size_t kChurners = 2;
Churned churned[kChurners];
std::atomic<bool> is_churning;
std::vector<std::thread> churners;

// Frees a block and takes another one, of 32 to 2079 bytes, as fast as it can: what it holds stays about the same.
void churn(std::size_t at, std::size_t bytes)
{
	Churned &mine = churned[at];
	std::size_t count = bytes / kChurners / 1056;
	std::uint64_t random = at + 1;
	auto next = [&random] { return (random = random * 6364136223846793005UL + 1442695040888963407UL) >> 33; };
	auto slots = static_cast<void **>(std::calloc(count, sizeof(void *)));
	if (!slots)
		std::abort();
	mine.live = malloc_usable_size(slots);
	while (is_churning) {
		void *&slot = slots[next() % count];
		std::size_t size = 32 + next() % 2048;
		if (slot)
			mine.live -= malloc_usable_size(slot);
		std::free(slot);
		slot = std::malloc(size);
		if (!slot)
			std::abort();
		std::memset(slot, 0x5a, size < 64 ? size : 64);
		mine.live += malloc_usable_size(slot);
		mine.done++;
	}
	for (std::size_t i = 0; i < count; i++)
		std::free(slots[i]);
	std::free(slots);
	mine.live = 0;
}

void rest()
{
	is_churning = false;
	for (auto &thread : churners)
		thread.join();
	churners.clear();
}

} // namespace

int main()
{
	Store store;
	std::string line;
	std::cout << "ok ready" << std::endl;
	while (std::getline(std::cin, line)) {
		std::istringstream words(line);
		std::string name;
		unsigned value = 0;
		std::size_t known = 0;
		if (!(words >> name))
			continue;
		// A name with a dot is a figure's.
		if (name.find('.') != std::string::npos && figure(name, known)) {
			std::cout << "ok " << name << ' ' << known << std::endl;
			continue;
		}
		words >> value;
		if (name == "quit")
			break;
		if (name == "grow")
			grow(store, value * kMib);
		else if (name == "free")
			release(store, value > 100 ? 100 : value);
		else if (name == "churn") {
			is_churning = true;
			for (std::size_t at = 0; at < kChurners; at++)
				churners.emplace_back(churn, at, value * kMib);
			std::cout << "ok churn " << reinterpret_cast<std::uintptr_t>(churned) << std::endl;
			continue;
		} else if (name == "rest")
			rest();
		else if (name != "hold") {
			std::cout << "error unknown command " << name << std::endl;
			continue;
		}
		std::cout << "ok " << name << ' ' << value << std::endl;
	}
	rest();
	std::cout << "ok quit" << std::endl;
	return 0;
}
