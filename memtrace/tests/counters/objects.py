"""Fills a heap with objects of many types, and counts them itself. See ../../../workloads/README.md for the protocol.

`fill COUNT` adds so many objects of each type. `churn COUNT` starts two threads,
each of which holds so many of one type and replaces them for ever. `types PATH` writes a line for each type: its name, the bytes of the blocks of its instances in obmalloc, the bytes of the
buffers that they hold elsewhere (-1 where Python does not say), and how many there are.
"""

import gc
import random
import sys
import threading

SMALL = 512
kept = []


class Slots:
    __slots__ = ("number", "text")

    def __init__(self, number):
        self.number = number
        self.text = "text %d" % number


class Attributes:
    def __init__(self, number):
        self.number = number
        self.float = float(number)
        self.pair = (number, None)


class Churned:
    __slots__ = ("number", "text")


class Names(dict):
    pass


def fill(count):
    rng = random.Random(7)
    for i in range(count):
        kept.append(Slots(i))
        kept.append(Attributes(i))
        kept.append(b"b" * rng.randrange(200))
        kept.append("s%d" % i * rng.randrange(1, 30))
        kept.append([i] * rng.randrange(30))
        kept.append({str(i) + str(j): j for j in range(rng.randrange(9))})
        kept.append(set(range(rng.randrange(20))))
        kept.append(bytearray(rng.randrange(300)))
        kept.append((i, 1 << 70 | i))
        kept.append(Names({i: i}))
        kept.append(i * 1.5)
        kept.append(frozenset((i, -i)))
        kept.append(complex(i, i))


def churn(count):
    full = threading.Barrier(3)
    for _ in range(2):
        threading.Thread(target=replace, args=(count, full), daemon=True).start()
    full.wait()


def replace(count, full):
    ring = []
    for number in range(count):
        ring.append(Churned())
    full.wait()
    rng = random.Random(7)
    while True:
        at = rng.randrange(count)
        one = Churned()
        one.number = at
        one.text = "x" * rng.randrange(400)
        ring[at] = one


def rounded(size):
    return (size + 15) // 16 * 16


def sizes(value):
    """Its own block, and its buffers."""
    whole, inner = sys.getsizeof(value), type(value).__sizeof__(value)
    if isinstance(value, (list, dict, set, frozenset, bytearray)):
        own = type(value).__basicsize__ + whole - inner
        return own, rounded(max(0, whole - own))
    return whole, -1


def types():
    """Counts all objects that can be reached."""
    gc.collect()
    found = {}
    todo = [kept, sys.modules]
    ignored = {id(found), id(todo)}
    seen = set(ignored)
    sums = {}
    ignored.add(id(sums))
    todo.extend(value for value in gc.get_objects() if id(value) not in ignored)
    while todo:
        value = todo.pop()
        if id(value) in seen or value is todo or value is seen or value is sums:
            continue
        seen.add(id(value))
        kind = type(value)
        own, held = sizes(value)
        if own <= SMALL:
            module = kind.__module__
            name = kind.__name__ if module == "builtins" else "%s.%s" % (module, kind.__name__)
            bytes_, buffers, count = sums.get(name, (0, 0, 0))
            sums[name] = (bytes_ + rounded(own), buffers + held if held >= 0 else -1, count + 1)
        todo.extend(gc.get_referents(value))
        if isinstance(value, dict):
            # The collector does not look at keys that are strings.
            todo.extend(value.keys())
    return sums


def write(path):
    sums = types()
    with open(path, "w") as file:
        for name, figures in sums.items():
            file.write("%s %d %d %d\n" % ((name,) + figures))


def main():
    print("ok ready", flush=True)
    for line in sys.stdin:
        command, argument = line.split()
        if command == "fill":
            fill(int(argument))
        elif command == "churn":
            churn(int(argument))
        else:
            write(argument)
        gc.collect()
        print("ok " + command, flush=True)


main()
