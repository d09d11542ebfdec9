"""A service that loads an index and is ready: load.py MIB SECONDS."""

import sys
import time

mib, seconds, block = int(sys.argv[1]), float(sys.argv[2]), 4000
begin, index = time.monotonic(), []


def load_index():
    for done in range(mib):
        index.append([b"i" * block for _ in range(256)])
        ahead = begin + seconds * (done + 1) / mib - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


load_index()
print("ready", flush=True)
time.sleep(1000)
