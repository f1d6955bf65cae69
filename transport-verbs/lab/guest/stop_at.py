#!/usr/bin/env python3
"""Runs a program and stops it in a chosen phase: `stop_at.py TEXT... -- PROGRAM ARGUMENT...`.

Its output passes through, and once the texts have come in it, in this order, the program is stopped
(SIGSTOP), goes on (SIGCONT) when somebody says so, and may as well be killed where it stands. What
it writes goes through a pipe that has room for one write, so it cannot have run ahead.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections import deque

STOPPED = b"stop_at: stopped\n"
PAGE = 4096


def main():
    """Returns the program's exit code, as a shell would."""
    separator = sys.argv.index("--")
    texts = deque(text.encode() for text in sys.argv[1:separator])
    reader, writer = os.pipe2(os.O_DIRECT)  # Each write is a packet, and a page holds one.
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PAGE)
    program = subprocess.Popen(sys.argv[separator + 1:], stdout=writer, stderr=writer)
    os.close(writer)
    while piece := os.read(reader, PAGE):
        if texts and texts[0] in piece:
            texts.popleft()
            if not texts:
                program.send_signal(signal.SIGSTOP)
                piece += STOPPED
        os.write(1, piece)
    code = program.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
