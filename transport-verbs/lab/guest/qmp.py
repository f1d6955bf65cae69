"""A client of QEMU's machine protocol over a Unix socket, with a deadline on every wait."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU answered a command with an error, or not in time, or went away."""


class Connection:
    """One QMP session: the greeting is read and the capabilities are negotiated on opening."""

    def __init__(self, path, within, is_running):
        """`is_running` says whether QEMU still is there to make its socket."""
        deadline = time.monotonic() + within
        self.path = path
        self.events = []
        self._received = b""
        self._socket = self._connect(deadline, is_running)
        greeting = self._message(deadline, "the greeting")
        if "QMP" not in greeting:
            raise QmpError(f"{path}: not a QMP greeting: {greeting}")
        version = greeting["QMP"]["version"]["qemu"]
        self.version = f"{version['major']}.{version['minor']}.{version['micro']}"
        self.command("qmp_capabilities", {}, max(deadline - time.monotonic(), 0.1))

    def _connect(self, deadline, is_running):
        """Waits for the socket, because QEMU makes it only after it has read its arguments."""
        while True:
            attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                attempt.connect(self.path)
                return attempt
            except (FileNotFoundError, ConnectionRefusedError) as error:
                attempt.close()
                if not is_running():
                    raise QmpError(f"{self.path}: QEMU ended early") from error
                if time.monotonic() >= deadline:
                    raise QmpError(f"{self.path}: no QMP socket in time") from error
                time.sleep(0.05)

    def command(self, name, arguments, within):
        """Executes one command and returns its value. Events that arrive meanwhile are kept."""
        deadline = time.monotonic() + within
        request = {"execute": name, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"{self.path}: {name}: {error}") from error
        while True:
            message = self._message(deadline, name)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QmpError(f"{name}: {message['error']['desc']}")
            elif "return" in message:
                return message["return"]

    def take_event(self, name, within):
        """Returns the oldest kept event of that name, waiting for one if there is none."""
        deadline = time.monotonic() + within
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            message = self._message(deadline, f"the event {name}")
            if "event" in message:
                self.events.append(message)

    def close(self):
        self._socket.close()

    def _message(self, deadline, what):
        while b"\n" not in self._received:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise QmpError(f"{self.path}: no answer to {what} in time")
            self._socket.settimeout(remaining)
            try:
                piece = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                raise QmpError(f"{self.path}: {what}: {error}") from error
            if not piece:
                raise QmpError(f"{self.path}: QEMU closed the connection during {what}")
            self._received += piece
        line, self._received = self._received.split(b"\n", 1)
        return json.loads(line)
