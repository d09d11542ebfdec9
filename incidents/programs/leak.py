"""A worker that keeps every answer: leak.py RATE_KIB SIZE [READY_AFTER]. Blocks above 512 bytes are malloc's."""

import sys
import time

answers = []


def remember_answer(size):
    answers.append(b"x" * size)


def main():
    rate, size = float(sys.argv[1]) * 1024, int(sys.argv[2])
    ready_after = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    begin, kept = time.monotonic(), 0
    while True:
        while kept < (time.monotonic() - begin) * rate:
            remember_answer(size)
            kept += size
        if ready_after and time.monotonic() - begin > ready_after:
            print("ready", flush=True)
            ready_after = 0
        time.sleep(0.05)


main()
