// Grows, holds and frees memory on command with C++ containers. See ../README.md for the protocol.
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
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
		if (!(words >> name))
			continue;
		words >> value;
		if (name == "quit")
			break;
		if (name == "grow")
			grow(store, value * kMib);
		else if (name == "free")
			release(store, value > 100 ? 100 : value);
		else if (name != "hold") {
			std::cout << "error unknown command " << name << std::endl;
			continue;
		}
		std::cout << "ok " << name << ' ' << value << std::endl;
	}
	std::cout << "ok quit" << std::endl;
	return 0;
}
