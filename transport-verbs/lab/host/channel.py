"""The line to the agent in a machine: one request, one answer, and a deadline on each."""

import json
import time

from host.errors import Expired, LabError

# What an answer may take beyond the deadline that the agent itself keeps.
GRACE = 15


class Channel:
    """Requests and answers as lines of JSON over a connected socket.

    `is_waiting` is true until the agent has answered, so also after a wait that was given up.
    """

    def __init__(self, connection, machine):
        self._connection = connection
        self._machine = machine
        self._received = b""
        self._last_id = 0
        self.is_waiting = True

    def hello(self, within):
        """Waits for the agent's first message, which says that the machine is ready."""
        return self._answer(0, f"{self._machine}: boot", within)

    def request(self, do, arguments, what, within):
        """Has the agent do something that takes at most `within` seconds.

        `what` names it in errors.
        """
        self._last_id += 1
        self.is_waiting = True
        message = {"id": self._last_id, "do": do, "with": arguments}
        what = f"{self._machine}: {what}"
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise LabError(f"{what}: the machine is gone: {error}") from error
        return self._answer(self._last_id, what, within + GRACE)

    def _answer(self, expected, what, within):
        deadline = time.monotonic() + within
        while True:
            message = json.loads(self._line(deadline, what, within))
            # The answer to a request that was given up may still come; it is not ours.
            if message["id"] != expected:
                continue
            self.is_waiting = False
            if "error" in message:
                raise LabError(f"{what}: {message['error']}")
            return message["result"]

    def _line(self, deadline, what, within):
        while b"\n" not in self._received:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise Expired(what, within)
            self._connection.settimeout(remaining)
            try:
                piece = self._connection.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                raise LabError(f"{what}: the machine is gone: {error}") from error
            if not piece:
                raise LabError(f"{what}: the machine ended")
            self._received += piece
        line, self._received = self._received.split(b"\n", 1)
        return line
