"""Grows, holds and frees memory on command. See ../README.md for the protocol."""

import gc
import os
import re
import sys
import tempfile

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
        elif name == "quit":
            break
        elif name != "hold":
            print("error unknown command", name, flush=True)
            continue
        print("ok", name, value, flush=True)
    print("ok quit", flush=True)


main()
