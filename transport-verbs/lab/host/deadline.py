"""Waiting for something that can only be asked for again and again."""

import time

from host.errors import Expired

PAUSE = 0.1


def poll_until(what, within, probe):
    """Calls `probe` until it returns something true, and returns that.

    Raises `Expired`, which says what was waited for, after `within` seconds.
    """
    deadline = time.monotonic() + within
    while not (found := probe()):
        if time.monotonic() >= deadline:
            raise Expired(what, within)
        time.sleep(PAUSE)
    return found
