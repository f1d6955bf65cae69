"""How long a guest takes, over the same link in the same machine, by every way there is.

Nothing is asserted of times: the figures are for people, and those of one run are compared with
each other alone.
"""

import json
import re
import time
from dataclasses import dataclass
from functools import partial

from host.errors import LabError
from host.guest_memory import CHUNK
from host.guest_program import MIB
from host.guests import rom_arguments
from host.hypervisor import CONVENTIONAL_MEMORY, ENDS, Hypervisor
from host.link import add_loopback, wait_for_tcp_listener
from host.machine import SCRATCH
from host.measured import Measured, measured_by, show
from host.recorder import Ours, last_lines, report
from host.scenario import Scenario

ROUNDS = 5
GUEST_MIB = 256
MACHINE_MEMORY_MIB = 4096
MACHINE = "pc-q35"
# How long a guest that runs may stop, to both implementations. It is what QEMU allows by itself.
DOWNTIME_MAX_MS = 300
ENDS_WITHIN = 180
PAUSE = 0.05
WRITE_PORT = 18515
TCP_PORT = 5555
RECORDING = f"{SCRATCH}/recording"
CONNECTS = "rdma_start_outgoing_migration_after_rdma_source_init"
CLOSES = "qemu_rdma_close"
TIMESTAMPS = ("-msg", "timestamp=on")
# A peer of QEMU's answers one request of a batch; the rest then goes as with look-ahead.
OURS = {
    "chunk by chunk": ["--registration", "chunks"],
    "spans": ["--registration", "spans"],
    "look-ahead": ["--registration", "look-ahead"],
    "batches": ["--registration", "batches"],
    "pin-all": ["--pin-all"],
}
# As two hosts would be: each side has a processor of its own.
ON = {"source": ("taskset", "--cpu-list", "0"), "destination": ("taskset", "--cpu-list", "1")}


@dataclass(frozen=True)
class Guest:
    """What a guest has in its RAM: so many chunks of ten hold something."""

    name: str
    filled_of_ten: int

    def memory(self, addresses):
        """The bytes of a range: chunk by chunk zero, or nothing but ones that tell chunks apart."""
        chunks = range(addresses.start // CHUNK, -(-addresses.stop // CHUNK))
        pattern = b"".join(self._chunk(number) for number in chunks)
        start = addresses.start - chunks.start * CHUNK
        return pattern[start:start + len(addresses)]

    def _chunk(self, number):
        if number % 10 >= self.filled_of_ten:
            return bytes(CHUNK)
        return (number + 1).to_bytes(4, "little") * (CHUNK // 4)


GUESTS = (Guest("all-non-zero", 10), Guest("90-percent-zero", 1))
LOADED = (CONVENTIONAL_MEMORY, range(MIB, GUEST_MIB * MIB))


class Bench:
    """A machine in which the same guest moves again and again. It stands still meanwhile."""

    runs = False

    def __init__(self, lab, version, guest):
        self.lab = lab
        self.guest = guest
        self.machine = lab.machine(MACHINE_MEMORY_MIB)
        self.address = add_loopback(self.machine)
        self.ours = Ours(lab, self.machine, self.address)
        self.installation = lab.qemu(version)
        self.machine_type = f"{MACHINE}-{version}"
        self._number = 0

    def leaving_guest(self):
        """A guest that never ran, with all its memory in place."""
        arguments = ["-S", *rom_arguments(self.machine)]
        for addresses in LOADED:
            file = f"memory-{addresses.start:x}"
            path = self.machine.folder / file
            if not path.exists():
                path.write_bytes(self.guest.memory(addresses))
            arguments += ["-device", f"loader,file=/run/lab/{file},addr={addresses.start:#x},"
                                     "force-raw=on"]
        return self._hypervisor("source", arguments)

    def waiting_guest(self, uri, pin_all):
        arguments = [*rom_arguments(self.machine), "-S", "-incoming", "defer"]
        guest = self._hypervisor("destination", arguments)
        guest.allow_pin_all(pin_all)
        guest.command("migrate-incoming", {"uri": uri})
        return guest

    def _hypervisor(self, name, arguments):
        return Hypervisor(self.machine, self.next_name(name), self.installation,
                          self.machine_type, [*arguments, *TIMESTAMPS], GUEST_MIB,
                          traces=(CONNECTS, CLOSES), before=ON[name])

    def next_name(self, name):
        self._number += 1
        return f"{name}-{self._number}"

    def record(self):
        """The guest as a recording, for our own source."""
        self.lab.step("record the guest")
        source = self.leaving_guest()
        # It does not look which round brought what, so that all RAM is sent in one.
        received = self.ours.receive("recording", "--looking", "0")
        source.migrate(self.ours.uri)
        source.wait_for_migration("completed", ENDS_WITHIN)
        received.finish(ENDS_WITHIN)
        source.quit()

    def write_bandwidth(self):
        """What the link carries at 1 MiB a WRITE, in Gb/s."""
        measure = ["ib_write_bw", f"--port={WRITE_PORT}", "--iters=200", f"--size={CHUNK}",
                   "--report_gbits"]
        server = self.machine.start("ib_write_bw", *ON["destination"], *measure)
        wait_for_tcp_listener(self.machine, WRITE_PORT)
        finished = self.machine.run(*ON["source"], *measure, self.address, within=120)
        server.wait(20)
        measured = re.search(rf"^ *{CHUNK} +200 +\S+ +(\S+)", finished.output, re.MULTILINE)
        if not measured:
            raise LabError(f"ib_write_bw printed no figure: {finished.output}")
        return float(measured[1])

    def qemu_to_qemu(self, uri, pin_all):
        source = self.leaving_guest()
        destination = self.waiting_guest(uri, pin_all)
        sides = (source, destination)
        source.allow_pin_all(pin_all)
        before = sum(side.processor_seconds() for side in sides)
        source.migrate(uri, DOWNTIME_MAX_MS)
        pinned = [0, 0]
        while (status := source.command("query-migrate").get("status")) not in ENDS:
            pinned = [max(most, side.pinned_mib()) for most, side in zip(pinned, sides)]
            time.sleep(PAUSE)
        if status != "completed":
            raise LabError(f"the migration is {status}")
        destination.wait_for_migration("completed", 30)
        source.wait_for_run_state("postmigrate", 20)
        spent = sum(side.processor_seconds() for side in sides) - before
        figures = source.command("query-migrate")
        seconds = (time_on_the_link(source) if uri == self.ours.uri else
                   figures["total-time"] / 1000)
        for side in sides:
            side.quit()
        return Measured(seconds, spent, tuple(pinned),
                        downtime_ms=figures["downtime"] if self.runs else None)

    def ours_to_qemu(self, options):
        destination = self.waiting_guest(self.ours.uri, "--pin-all" in options)
        before = destination.processor_seconds()
        process = self.ours.start_sending(RECORDING, self.next_name("out"), *options,
                                          before=ON["source"])
        pinned = 0
        while process.exit_code() is None:
            pinned = max(pinned, destination.pinned_mib())
            time.sleep(PAUSE)
        report = self.report(process)
        destination.wait_for_migration("completed", 30)
        spent = destination.processor_seconds() - before
        destination.quit()
        return measured_by(report, spent, pinned, self.bulk_gbits(process))

    def ours_to_ours(self, options):
        received = self.ours.receive(self.next_name("in"), "--looking", "0",
                                     before=ON["destination"])
        process = self.ours.start_sending(RECORDING, self.next_name("out"), *options,
                                          before=ON["source"])
        process.wait(ENDS_WITHIN)
        report = self.report(process)
        arrived = received.finish(ENDS_WITHIN)
        self.machine.run("rm", "-r", received.folder)
        return measured_by(report, arrived["processor_nanoseconds"] / 1e9,
                           arrived["registered_bytes_peak"] / MIB, self.bulk_gbits(process))

    def ways(self):
        """Each by its name."""
        return {
            **self.ways_of_qemu(),
            **{f"ours to QEMU, {name}": partial(self.ours_to_qemu, options)
               for name, options in OURS.items()},
            **self.ways_of_ours("look-ahead", "batches", "pin-all"),
        }

    def ways_of_qemu(self):
        rdma = self.ours.uri
        tcp = f"tcp:{self.address}:{TCP_PORT}"
        return {
            "QEMU to QEMU, TCP": partial(self.qemu_to_qemu, tcp, False),
            "QEMU to QEMU, dynamic": partial(self.qemu_to_qemu, rdma, False),
            "QEMU to QEMU, pin-all": partial(self.qemu_to_qemu, rdma, True),
        }

    def ways_of_ours(self, *names):
        return {f"ours to ours, {name}": partial(self.ours_to_ours, OURS[name]) for name in names}

    def report(self, process):
        if process.exit_code() != 0:
            raise LabError(f"{process.name}: {last_lines(process)}")
        return report(process)

    def bulk_gbits(self, process):
        """The rate of the writes, from the source's trace."""
        events = self.events(process.name)
        writes = [event for event in events if event["event"] == "write"]
        ends = [event["time_us"] for event in events if event["event"] == "written"]
        bits = 8 * sum(event["length"] for event in writes)
        return bits / ((ends[-1] - writes[0]["time_us"]) * 1e3)

    def events(self, name):
        trace = (self.machine.folder / f"{name}.trace").read_text().splitlines()
        return [json.loads(line) for line in trace]


def time_on_the_link(source):
    """Seconds from the connect request of a QEMU to the completion of its last SEND.

    It traces one event just before the one, and one just after the other.
    """
    said = source.program.said()
    begin, end = (re.search(rf"@(\d+\.\d+):{event}\b", said) for event in (CONNECTS, CLOSES))
    if not begin or not end:
        raise LabError(f"{source.name} did not trace its connection: {said}")
    return float(end[1]) - float(begin[1])


def measure(version, guest, lab):
    bench = Bench(lab, version, guest)
    bench.record()
    take_turns(bench, version, guest.name, lab)


def take_turns(bench, version, guest, lab):
    """Moves the guest by every way in turn, and again, and shows what that took."""
    rounds = lab.wishes.rounds or ROUNDS
    results, bandwidths = {name: [] for name in bench.ways()}, []
    for number in range(1, rounds + 1):
        lab.step(f"round {number} of {rounds}: ib_write_bw")
        bandwidths.append(bench.write_bandwidth())
        for name, way in bench.ways().items():
            lab.step(f"round {number} of {rounds}: {name}")
            results[name].append(way())
    show(lab, f"QEMU {version}, {GUEST_MIB} MiB, {guest}", results, bandwidths)


SCENARIOS = tuple(
    Scenario(f"bench/{version}/{guest.name}", "the same guest moves by every way, interleaved", 3600,
             partial(measure, version, guest), apart=True)
    for version in ("7.2", "10.0") for guest in GUESTS
)
