"""A prefork server: workers.py WORKERS MIB SECONDS. Each worker fills its own cache within SECONDS."""

import os
import sys
import time


def fill_cache(mib, seconds):
    cache, begin = [], time.monotonic()
    for number in range(mib * 16):
        cache.append(bytes([number % 251]) * 65000)
        ahead = begin + seconds * number / (mib * 16) - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    return cache


def main():
    workers, mib, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    for _ in range(workers):
        if os.fork() == 0:
            cache = fill_cache(mib, seconds)
            os.write(1, b"filled\n")
            while cache:
                time.sleep(3600)
    time.sleep(seconds + 3)
    print("ready", flush=True)
    while True:
        time.sleep(3600)


main()
