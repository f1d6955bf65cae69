"""A QEMU process under test, in a machine of the lab: one side of a migration."""

import re
import sys

from host.cache import LAB
from host.deadline import poll_until
from host.errors import LabError
from host.guest_program import MIB, TICKS_AT
from host.machine import SCRATCH

GUEST_MEMORY_MIB = 64
# What a physical-memory dump can compare: between lie the VGA window and the firmware's shadow,
# which a dump reads through the chipset's mapping rather than from the block's own bytes.
CONVENTIONAL_MEMORY = range(0, 640 << 10)
QMP_WITHIN = 20
BANDWIDTH = 10 << 30
DOWNTIME_MS = 10
# Of the clock by which the kernel counts processor time.
TICKS_A_SECOND = 100
TRACES = ("qemu_rdma*", "rdma*")
# A migration that has one of these statuses keeps it.
ENDS = ("completed", "failed", "cancelled")


class Hypervisor:
    """A real QEMU with its QMP session. Its log is `NAME.log`."""

    def __init__(self, machine, name, installation, machine_type, arguments,
                 memory_mib=GUEST_MEMORY_MIB, stop_at=(), traces=TRACES, before=()):
        """Starts it. `arguments` come at the end of the command line.

        `before` goes before the program on its command line.
        `traces`: the trace events that go to its log; each costs it time.
        Once it has traced the texts `stop_at`, in this order, it is stopped until a SIGCONT.
        """
        self.name = name
        self.memory_mib = memory_mib
        self._machine = machine
        self._socket = f"/run/{name}.qmp"
        self.program = machine.start(
            name,
            *before,
            *stopping(stop_at),
            *installation.command_line(),
            "-accel", "tcg", "-machine", machine_type, "-m", memory_mib,
            "-nodefaults", "-no-user-config", "-net", "none", "-display", "none",
            "-qmp", f"unix:{self._socket},server=on,wait=off",
            *(argument for event in traces for argument in ("-trace", event)),
            *arguments,
        )
        request = {"process": self.program.process, "path": self._socket, "within": QMP_WITHIN}
        self.version = self._request("qmp_open", request, "the QMP session", QMP_WITHIN)

    def command(self, name, arguments=None, within=QMP_WITHIN):
        """Executes a QMP command and returns its value."""
        request = {"path": self._socket, "command": name, "arguments": arguments or {},
                   "within": within}
        return self._request("qmp_command", request, name, within)

    def event(self, name, within):
        """Waits for a QMP event and returns it."""
        request = {"path": self._socket, "name": name, "within": within}
        return self._request("qmp_event", request, f"the event {name}", within)

    def allow_pin_all(self, pin_all):
        """Says before a migration whether all RAM is to be registered at once."""
        capability = {"capability": "rdma-pin-all", "state": pin_all}
        self.command("migrate-set-capabilities", {"capabilities": [capability]})

    def migrate(self, uri, downtime_ms=DOWNTIME_MS):
        """Begins to migrate.

        The default bandwidth limit would rule the time, so it is lifted. The default downtime
        would let the guest stop after one round; the shorter it is, the more rounds there are.
        """
        self.command("migrate-set-parameters", {"max-bandwidth": BANDWIDTH})
        self.allow_downtime(downtime_ms)
        self.command("migrate", {"uri": uri})

    def allow_downtime(self, milliseconds):
        """Says how long the guest may stop, before a migration or during it."""
        self.command("migrate-set-parameters", {"downtime-limit": milliseconds})

    def wait_for_migration(self, wanted, within):
        """Waits until the migration has the wanted status and returns what QMP says of it."""
        return poll_until(f"{self.name}: migration {wanted}", within,
                          lambda: self._migration_with_status(wanted))

    def _migration_with_status(self, wanted):
        """What QMP says of the migration, or None while it may still get the wanted status."""
        migration = self.command("query-migrate")
        status = migration.get("status", "none")
        if status == wanted:
            return migration
        if status in ENDS:
            reason = migration.get("error-desc", "no reason given")
            raise LabError(f"{self.name}: migration {status}, not {wanted}: {reason}")
        return None

    def wait_for_run_state(self, wanted, within):
        """Waits until the guest is `running`, `paused`, `postmigrate`..."""
        poll_until(f"{self.name}: the guest {wanted}", within,
                   lambda: self.command("query-status")["status"] == wanted)

    def ticks(self):
        """How often the guest's program ran; it goes on while the guest runs."""
        line = self.command("human-monitor-command", {"command-line": f"xp /1wx {TICKS_AT}"})
        return int(line.split()[-1], 16)

    def wait_for_ticks(self, more, within):
        """Waits until the guest's program has run so many more times: the guest runs."""
        wanted = self.ticks() + more
        poll_until(f"{self.name}: {more} more ticks of the guest", within,
                   lambda: self.ticks() >= wanted)

    def save_memory(self):
        """Writes the plain RAM of the guest, which must be stopped, and returns the files."""
        files = []
        for addresses in self.plain_memory():
            path = f"{SCRATCH}/{self.name}-{addresses.start:x}.ram"
            self.command("pmemsave", {"val": addresses.start, "size": len(addresses),
                                      "filename": path}, within=60)
            files.append(path)
        return files

    def plain_memory(self):
        """The guest-physical ranges whose bytes are RAM and nothing else."""
        return (CONVENTIONAL_MEMORY, range(MIB, self.memory_mib * MIB))

    def processor_seconds(self):
        """Processor time that it has used so far."""
        said = self._machine.read_file(f"/proc/{self.program.process}/stat")
        fields = said.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def pinned_mib(self):
        """Memory that it has pinned now."""
        said = self._machine.read_file(f"/proc/{self.program.process}/status")
        return int(re.search(r"^VmPin:\s+(\d+) kB", said, re.MULTILINE)[1]) / 1024

    def quit(self):
        """Ends it in order, and says so if it ends in another way."""
        self.command("quit")
        code = self.program.wait(QMP_WITHIN)
        if code != 0:
            raise LabError(f"{self.name}: exit code {code} after quit")

    def _request(self, do, arguments, what, within):
        try:
            return self._machine.request(do, arguments, f"{self.name}: {what}", within)
        except LabError as error:
            code = self.program.exit_code()
            if code is None:
                raise
            last = " | ".join(self.program.said().strip().splitlines()[-3:])
            raise LabError(f"{error}; it ended with {code}: {last}") from error


def stopping(texts):
    """What goes before a command, so that it is stopped once it has printed the texts."""
    if not texts:
        return []
    return [sys.executable, LAB / "guest" / "stop_at.py", *texts, "--"]
