"""Grows, holds and frees memory on command. See ../README.md for the protocol."""

from __future__ import annotations

import array
import gc
import os
import random
import re
import sys
import tempfile
import threading

MIB = 1 << 20
blocks: list[object] = []


def grow_block(number: int) -> None:
    """The function that grows: the tests look for its name in stacks."""
    blocks.append({"number": number, "text": "x" * (number % 300), "pair": (number, float(number))})


def grow(mib: int) -> None:
    """Three quarters in small objects (an entry takes about 600 bytes), one quarter in blocks of 256 KiB."""
    for done in range(0, mib * MIB * 3 // 4, 600):
        grow_block(done)
    for _ in range(0, mib * MIB // 4, 256 * 1024):
        blocks.append(bytearray(b"y" * (256 * 1024)))


def free(percent: int) -> None:
    blocks[:] = [b for i, b in enumerate(blocks) if (i + 1) * percent // 100 == i * percent // 100]
    gc.collect()


def arenas() -> int:
    """How many arenas obmalloc has now."""
    return stat(rb"arenas allocated current")


def in_use() -> int:
    """Bytes that obmalloc has in use."""
    return stat(rb"bytes in allocated blocks")


def stat(name: bytes) -> int:
    """A line of _debugmallocstats; CPython prints that to the standard error only."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(kept, 2)
        os.close(kept)
        file.seek(0)
        return int(re.search(name + rb" *= *([\d,]+)", file.read())[1].replace(b",", b""))


# What a thread that churns says of itself, for who reads it from outside: bytes of its live objects, and objects so far.
churned = array.array("Q", [0] * 4)
churners: list[threading.Thread] = []
is_churning = threading.Event()


def churn(at: int, size: int) -> None:
    """Lets an object go and takes another one, of 48 to 496 bytes, as fast as it can."""
    numbers = random.Random(at)
    slots: list[bytes] = [b""] * (size // 2 // 272)
    held = [0] * 480
    for length in range(1, 480):
        held[length] = (sys.getsizeof(bytes(length)) + 15) // 16 * 16
    while is_churning.is_set():
        place, length = int(numbers.random() * len(slots)), 1 + int(numbers.random() * 460)
        old = len(slots[place])
        slots[place] = bytes(length)
        churned[2 * at] += held[length] - held[old]
        churned[2 * at + 1] += 1
    churned[2 * at] = 0


def start_churning(mib: int) -> int:
    is_churning.set()
    churners[:] = [threading.Thread(target=churn, args=(at, mib * MIB)) for at in range(2)]
    for thread in churners:
        thread.start()
    return churned.buffer_info()[0]


def rest() -> None:
    is_churning.clear()
    for thread in churners:
        thread.join()


def main() -> None:
    print("ok ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        name, value = words[0], int(words[1]) if len(words) > 1 else 0
        if name == "grow":
            grow(value)
        elif name == "free":
            free(value)
        elif name == "arenas":
            value = arenas()
        elif name == "in-use":
            value = in_use()
        elif name == "churn":
            value = start_churning(value)
        elif name == "rest":
            rest()
        elif name == "quit":
            break
        elif name != "hold":
            print("error unknown command", name, flush=True)
            continue
        print("ok", name, value, flush=True)
    rest()
    print("ok quit", flush=True)


main()
