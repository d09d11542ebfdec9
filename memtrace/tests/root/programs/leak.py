"""Keeps a MiB of sessions more for every line that it reads, and makes as much of something else that it drops."""

import sys


class Session:
    __slots__ = ("number", "before")

    def __init__(self, number, before):
        self.number = number
        self.before = before


# A Session takes 48 bytes with what the collector needs.
EACH = (1 << 20) // 48


def remember(last):
    for _ in range(EACH):
        last = Session(0, last)
    return last


def main():
    kept = ["kept from the start %d" % number for number in range(100_000)]
    last = None
    print("ready", flush=True)
    for _ in sys.stdin:
        last = remember(last)
        dropped = [(number,) for number in range(10_000)]
        del dropped
    print(len(kept))


main()
