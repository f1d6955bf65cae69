"""The agent in a lab machine: does what the driver on the host asks for, one request at a time.

Requests and answers are lines of JSON over a virtio serial port. Programs that go on running
beside the driver's next requests are started with `start` and looked after with `wait` and
`signal`; every wait has a deadline, given by the driver. When the driver goes away the agent
ends, and with it the machine.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import qmp

PORT_NAME = "lab.agent"
JOB = Path("/run/lab")


class Agent:
    def __init__(self, port):
        self._port = port
        self._processes = {}
        self._sessions = {}

    def serve(self):
        """Answers requests until the driver closes its end or asks for the end."""
        uptime = Path("/proc/uptime").read_text().split()[0]
        self._send({"id": 0, "result": {"kernel": os.uname().release, "uptime": float(uptime)}})
        received = b""
        while piece := os.read(self._port, 65536):
            *lines, received = (received + piece).split(b"\n")
            for line in lines:
                request = json.loads(line)
                if request["do"] == "end":
                    self._end_all()
                    self._send({"id": request["id"], "result": None})
                    return
                self._send(self._answer(request))

    def _answer(self, request):
        operation = self.OPERATIONS.get(request["do"])
        if operation is None:
            return {"id": request["id"], "error": f"unknown request {request['do']}"}
        try:
            return {"id": request["id"], "result": operation(self, **request["with"])}
        except (qmp.QmpError, OSError, KeyError, ValueError, TypeError) as error:
            name = type(error).__name__
            return {"id": request["id"], "error": f"{name}: {error}"}

    def _send(self, message):
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._port, data):]

    def run(self, argv, within, environment):
        """Runs a program to its end. A program that outlives the deadline is killed."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            return {"code": None, "output": text(output), "errors": text(errors)}
        return {"code": process.returncode, "output": text(output), "errors": text(errors)}

    def start(self, argv, log, environment):
        """Starts a program whose output goes to a file of the job folder."""
        with open(JOB / log, "wb") as destination:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=destination,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._processes[process.pid] = process
        return process.pid

    def wait(self, process, within):
        """Returns the exit code, negative for a signal, or None if it still runs."""
        try:
            return self._processes[process].wait(timeout=within)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, process, number):
        """Signals a started program and its children. One that has ended is left alone."""
        if self._processes[process].poll() is None:
            os.killpg(process, number)

    def write_file(self, path, content):
        Path(path).write_text(content)

    def read_file(self, path):
        return Path(path).read_text(errors="replace")

    def qmp_open(self, process, path, within):
        """Connects to the QMP socket of a started QEMU and returns its version."""
        running = self._processes[process]
        session = qmp.Connection(path, within, lambda: running.poll() is None)
        self._sessions[path] = session
        return session.version

    def qmp_command(self, path, command, arguments, within):
        return self._sessions[path].command(command, arguments, within)

    def qmp_event(self, path, name, within):
        return self._sessions[path].take_event(name, within)

    OPERATIONS = {
        operation.__name__: operation
        for operation in (
            run, start, wait, signal, write_file, read_file, qmp_open, qmp_command, qmp_event,
        )
    }

    def _end_all(self):
        """Ends what still runs: SIGTERM, so that logs are flushed, then SIGKILL."""
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 3
        for process in running:
            try:
                process.wait(timeout=max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def text(data):
    return data.decode(errors="replace")


def open_port():
    """The port is found by name: without udev there are no links to it."""
    for folder in Path("/sys/class/virtio-ports").iterdir():
        if (folder / "name").read_text().strip() == PORT_NAME:
            return os.open(f"/dev/{folder.name}", os.O_RDWR)
    sys.exit(f"no serial port named {PORT_NAME}")


def main():
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    Agent(open_port()).serve()


if __name__ == "__main__":
    main()
