"""Our own commands, `receive` and `send`, as one side of a migration in a machine of the lab."""

import json
import re

from host import cargo
from host.deadline import poll_until
from host.errors import LabError
from host.link import wait_for_rdma_listener

PACKAGE = "rdma-migration-conformance"
BINARY = "rdma-migration"
CHECK_WITHIN = 10

# What the kernel lets a program lock that may not lock everything.
LIMIT_BYTES = 16 * 1024 * 1024
LIMITED = ("prlimit", f"--memlock={LIMIT_BYTES}", "setpriv", "--bounding-set=-ipc_lock",
           "--inh-caps=-ipc_lock")


def build(lab):
    """Returns the path of the command, built with verbs."""
    lab.step("build ours")
    return cargo.binary(PACKAGE, BINARY, lab.folder / "cargo.log", features=("verbs",))


class Ours:
    """One of our commands while it runs, and what it says of itself at its end."""

    def __init__(self, machine, program, *arguments, before=()):
        """Starts it. `before` goes before it on the command line. Its log is `ours.log`."""
        self._machine = machine
        self._program = program
        self.running = machine.start("ours", *before, program, *arguments, "--format", "json")

    def signal(self, number):
        self.running.signal(number)

    def report(self):
        """What it printed at its end; `None` if it could not begin."""
        objects = [line for line in self.running.said().splitlines() if line.startswith("{")]
        return json.loads(objects[-1]) if objects else None

    def reason(self):
        """Why it did not complete, with the cause in brackets where there is one."""
        report = self.report()
        if report is None:
            errors = [line for line in self.running.said().splitlines() if "error:" in line]
            return errors[-1] if errors else f"none given: {self.last_words()}"
        cause = f" ({report['cause']})" if report["cause"] else ""
        return f"{report['failure']}{cause}"

    def last_words(self):
        return " | ".join(self.running.said().strip().splitlines()[-3:])

    def holds_nothing(self):
        """Whether the kernel knows of no queue pair, region or identifier of its process."""
        own = re.compile(rf"\bpid {self.running.process}\b")
        return not any(own.search(self._machine.run("rdma", "resource", "show", kind).output)
                       for kind in ("qp", "mr", "pd", "cq", "cm_id"))

    def wait_until_it_holds_nothing(self):
        poll_until("nothing of ours is registered", CHECK_WITHIN, self.holds_nothing)


def recording_is_complete(machine, folder):
    """What a recording says of itself. One that is marked as unfinished is not complete, nor is one
    that does not exist, because there was nothing to record."""
    names = machine.run("sh", "-c", f"cd {folder} 2>&1 && ls", check=False).output
    if "manifest.json\n" not in names:
        if "UNFINISHED" in names or "can't cd" in names or "No such" in names:
            return False
        raise LabError(f"{folder} is neither complete nor marked as unfinished: {names}")
    return json.loads(machine.read_file(f"{folder}/manifest.json"))["complete"]


def receive(machine, program, address, port, folder, *options, before=()):
    """Starts a destination that records into a folder; it listens on return."""
    ours = Ours(machine, program, "receive", f"rdma:{address}:{port}", "--output", folder, *options,
                before=before)
    wait_for_rdma_listener(machine, port)
    return ours


def send(machine, program, recording, address, port, *options, before=()):
    """Starts a source that plays a recording."""
    return Ours(machine, program, "send", recording, f"rdma:{address}:{port}", *options,
                before=before)
