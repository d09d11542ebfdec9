"""A service at rest, then a request that takes all: burst.py BASE_MIB SECONDS."""

import sys
import time

block = 5000
base = [b"i" * block for _ in range(int(sys.argv[1]) * 200)]
time.sleep(float(sys.argv[2]))


def render_report():
    return [b"r" * block for _ in range(400 * 200)]


report = render_report()
