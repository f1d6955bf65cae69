"""Keeps a real QEMU at hand as the peer of a conformance run, and does what its hooks ask for.

One argument: a file of JSON with the command lines. Requests are lines of text on a TCP port of the
loopback interface; `qemu_peer_hook` sends them. Each case has a QEMU of its own, so that none suffers
from what another has done; the next one is started while a case is played.
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

import qmp

LOGS = Path("/run/lab/peers")
QMP_WITHIN = 30
# How long a peer may take to notice that its connection is gone.
ENDS_WITHIN = 6
MIGRATION_ENDS = ("completed", "failed", "cancelled", "none")


class Qemu:
    """One QEMU process and its QMP session."""

    def __init__(self, number, command):
        self.log = LOGS / f"{number}.log"
        path = f"/run/peer-{number}.qmp"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*command, "-qmp", f"unix:{path},server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )
        self.session = qmp.Connection(path, QMP_WITHIN, lambda: self.process.poll() is None)

    def command(self, name, arguments=None, within=QMP_WITHIN):
        return self.session.command(name, arguments or {}, within)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.session.close()


class Keeper:
    """The peer of the present case, and the one that waits for its turn."""

    def __init__(self, configuration):
        self.configuration = configuration
        self.role = configuration["role"]
        self.started = 0
        self.current = None
        self.trigger_error = None
        self.triggering = None
        self.spare = None
        self.make_spare()

    def make_spare(self):
        """Starts the next peer beside what goes on."""
        def make():
            self.started += 1
            try:
                self.spare = Qemu(self.started, self.configuration["command"])
            except qmp.QmpError as error:
                self.spare = error
        self.maker = threading.Thread(target=make)
        self.maker.start()

    def start(self, case, pin_all):
        """Makes a peer ready for a case: a destination listens, a source runs its guest."""
        if self.current is not None:
            self.current.end()
        self.maker.join()
        if isinstance(self.spare, Exception):
            raise self.spare
        self.current = self.spare
        self.make_spare()
        with open(self.current.log, "ab") as log:
            log.write(f"case {case}\n".encode())
        capability = {"capability": "rdma-pin-all", "state": pin_all}
        self.current.command("migrate-set-capabilities", {"capabilities": [capability]})
        if self.role == "destination":
            self.current.command("migrate-incoming", {"uri": self.configuration["uri"]})

    def trigger(self):
        """Has a source begin to migrate. QEMU answers once it is connected, or is not."""
        self.trigger_error = None
        self.triggering = threading.current_thread()
        try:
            self.current.command("migrate", {"uri": self.configuration["uri"]})
        except qmp.QmpError as error:
            self.trigger_error = str(error)
            raise

    def aftermath(self):
        """What has become of the peer, in the form that the suite reads."""
        if self.role == "source":
            self.triggering.join(ENDS_WITHIN)
            if self.triggering.is_alive():
                return {"state": {"is": "waiting"}, "says": "QMP does not answer"}
        deadline = time.monotonic() + ENDS_WITHIN
        try:
            while True:
                seen, over = self.look()
                if over or time.monotonic() >= deadline:
                    return seen
                time.sleep(0.05)
        except qmp.QmpError as error:
            return self.without_qmp(error)

    def look(self):
        """What the peer is now, and whether it will stay so."""
        if self.current.process.poll() is not None:
            return self.exited(), True
        migration = self.current.command("query-migrate", within=ENDS_WITHIN)
        state = self.current.command("query-status", within=ENDS_WITHIN)["status"]
        status = migration.get("status", "none")
        seen = {"state": {"is": "ended"}, "says": f"migration {status}, guest {state}"}
        if "error-desc" in migration:
            seen["says"] += f": {migration['error-desc']}"
        if self.trigger_error is not None:
            seen["says"] += f": {self.trigger_error}"
        over = status in MIGRATION_ENDS
        if self.role == "destination":
            over = state != "inmigrate"
            seen["guest_owner"] = "destination" if over else "source"
        else:
            owners = {"running": "source", "postmigrate": "destination"}
            seen["guest_owner"] = owners.get(state, "undecided")
        if over:
            seen["completed"] = status == "completed"
        else:
            seen["state"] = {"is": "waiting"}
        return seen, over

    def without_qmp(self, error):
        """What the peer is where QMP is silent: it has just exited, or its main loop is stuck."""
        try:
            self.current.process.wait(1)
            return self.exited()
        except subprocess.TimeoutExpired:
            return {"state": {"is": "waiting"}, "says": str(error)}

    def exited(self):
        """An incoming migration that fails ends QEMU, in order; a source never exits by itself."""
        code = self.current.process.returncode
        said = self.current.log.read_text(errors="replace").strip().splitlines()
        said = [line for line in said if "rdma" not in line.split(" ", 1)[0]]
        last = said[-1] if said else ""
        if code < 0:
            how = signal.Signals(-code).name
            return {"state": {"is": "crashed", "how": how}, "says": last}
        if self.role == "source":
            return {"state": {"is": "crashed", "how": f"exit code {code}"}, "says": last}
        return {"state": {"is": "ended"}, "guest_owner": "source", "completed": False,
                "says": f"exit code {code}: {last}"}


class Request(socketserver.StreamRequestHandler):
    """`start CASE PIN_ALL`, `trigger` or `alive`. The answer is one line."""

    def handle(self):
        word, *arguments = self.rfile.readline().decode().split()
        keeper = self.server.keeper
        try:
            if word == "start":
                keeper.start(arguments[0], arguments[1] == "1")
                answer = "ok"
            elif word == "trigger":
                keeper.trigger()
                answer = "ok"
            else:
                answer = json.dumps(keeper.aftermath())
        except qmp.QmpError as error:
            answer = f"error: {error}"
        self.wfile.write(answer.encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main():
    configuration = json.loads(Path(sys.argv[1]).read_text())
    LOGS.mkdir(exist_ok=True)
    server = Server(("127.0.0.1", configuration["port"]), Request)
    server.keeper = Keeper(configuration)
    print("at hand", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
