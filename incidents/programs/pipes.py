"""Pipes that nobody reads: pipes.py SECONDS. One of 1 MiB after the other."""

import fcntl
import os
import sys
import time

F_SETPIPE_SZ = 1031
MIB = 1 << 20
pipes = []
for _ in range(900):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, MIB)
    os.set_blocking(writer, False)
    os.write(writer, b"x" * MIB)
    pipes.append((reader, writer))
    time.sleep(float(sys.argv[1]) / 900)
