"""What a scenario is given: machines, QEMU versions, and a place for what it finds out."""

import socket
import time
from dataclasses import dataclass

from host import kernel, qemu
from host.errors import LabError
from host.machine import Machine, Wire

MACHINE_MEMORY_MIB = 2048


@dataclass(frozen=True)
class Wishes:
    """What whoever runs the lab asks of scenarios."""

    # What machines make stays in their folders.
    keep: bool = False
    # A run of the conformance suite goes on where the last one was left.
    resume: bool = False
    # Only these cases of the conformance suite, as its `--filter` takes them.
    cases: tuple = ()
    # How often `soak` repeats its faults and `bench` its measurements, if not as they say.
    rounds: int | None = None


class Laboratory:
    """The surroundings of one scenario, which end with it."""

    def __init__(self, folder, wishes, narrate):
        """`narrate` is told each step."""
        self.folder = folder
        self.step_name = "start"
        self.notes = []
        self.wishes = wishes
        self._narrate = narrate
        self._machines = []
        self._started = time.monotonic()

    def step(self, name):
        """Says what the scenario does next. A scenario that runs out of time was doing that."""
        self.step_name = name
        line = f"{time.monotonic() - self._started:7.1f} s  {name}"
        with open(self.folder / "steps.log", "a", encoding="utf-8") as log:
            log.write(line + "\n")
        self._narrate(line)

    def note(self, finding):
        """Keeps a finding for the scenario's line in the report."""
        self.notes.append(finding)

    def check(self, condition, claim):
        """Fails the scenario unless the claim holds."""
        if not condition:
            raise LabError(f"not so: {claim}")

    def machine(self, memory_mib=MACHINE_MEMORY_MIB):
        """Boots one machine."""
        self.step("boot")
        machine = self._start("host", memory_mib, None)
        self.note(f"booted in {machine.wait_for_boot():.1f} s")
        return machine

    def machines_on_a_wire(self, memory_mib=MACHINE_MEMORY_MIB):
        """Boots two machines that share a network which nothing else is on."""
        self.step("boot both")
        ends = socket.socketpair()
        machines = [self._start(f"host-{number}", memory_mib, Wire(end, number))
                    for number, end in enumerate(ends, start=1)]
        for end in ends:
            end.close()
        seconds = max(machine.wait_for_boot() for machine in machines)
        self.note(f"both booted in {seconds:.1f} s")
        return machines

    def qemu(self, version):
        """The QEMU of a version ("7.2", "10.0")."""
        return qemu.prepare(version)

    def end(self):
        """Ends all machines and notes the most memory that one of them took."""
        for machine in self._machines:
            machine.end()
        peaks = [machine.memory_peak_mib for machine in self._machines]
        if peaks:
            self.note(f"memory {sum(peaks)} MiB")

    def _start(self, name, memory_mib, wire):
        machine = Machine(name, kernel.prepare(), self.folder / name, memory_mib, self.wishes.keep,
                          wire)
        self._machines.append(machine)
        return machine
