"""What the guests under test have in their RAM: a patchwork that takes many paths of the protocol.

A guest that has just started is almost all zero and would exercise little. The patchwork is made
from a seed, so that a run can be repeated exactly.
"""

import random

PAGE = 4096
CHUNK = 1 << 20
PAGES_OF_CHUNK = CHUNK // PAGE


def patchwork(seed, chunks):
    """Returns the bytes of so many chunks, each of one of the kinds in `KINDS`, in turn."""
    source = random.Random(seed)
    return b"".join(KINDS[index % len(KINDS)](source) for index in range(chunks))


def full(source):
    """Random throughout: one registration, one write."""
    return source.randbytes(CHUNK)


def empty(_source):
    """Zero throughout: a zero run and no registration."""
    return bytes(CHUNK)


def zero_head(source):
    """Zero pages first: its first run is long and not all zero, so it is written as it is."""
    return bytes(CHUNK // 2) + source.randbytes(CHUNK // 2)


def lone_byte(source):
    """Zero but for one byte, the place where a scan for zero can go wrong."""
    chunk = bytearray(CHUNK)
    chunk[source.randrange(CHUNK)] = source.randrange(1, 256)
    return bytes(chunk)


def scattered(source):
    """Zero and random pages in turn, at random."""
    return b"".join(source.choice((bytes(PAGE), source.randbytes(PAGE)))
                    for _ in range(PAGES_OF_CHUNK))


KINDS = (full, empty, zero_head, lone_byte, scattered)
