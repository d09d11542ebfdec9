"""A large file that is mapped and read, alive: mapped.py MIB."""

import mmap
import os
import sys
import time

mib = int(sys.argv[1])
with open("data", "wb+") as file:
    for _ in range(mib):
        file.write(b"d" * (1 << 20))
    os.fsync(file.fileno())
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
total = sum(view[at] for at in range(0, len(view), 4096))
print("ready", flush=True)
time.sleep(1000)
