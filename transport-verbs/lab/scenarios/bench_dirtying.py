"""How long a guest stops that goes on writing to its RAM while it moves.

QEMU's runs a program that writes to 32 pages at each tick of its timer, 18 times a second; ours is
a synthetic one that writes as much. Both may stop for as long.
"""

from functools import partial

from host.guest_program import MIB, PAGE, PAGES_OF_TICK
from host.guests import running_guest
from host.measured import measured_by
from host.scenario import Scenario
from scenarios.bench import (
    CLOSES,
    CONNECTS,
    DOWNTIME_MAX_MS,
    ENDS_WITHIN,
    GUEST_MIB,
    ON,
    TIMESTAMPS,
    Bench,
    take_turns,
)

NAME = "dirtying"
# All of the RAM above that in which the program runs.
PATCHWORK_CHUNKS = 220
DIRTY_RATE = f"{round(18.2 * PAGES_OF_TICK * PAGE) >> 10}KiB"


class DirtyingBench(Bench):
    """A guest that runs until it has to stop."""

    runs = True

    def leaving_guest(self):
        return running_guest(self.machine, self.installation, self.machine_type,
                             self.next_name("source"), PATCHWORK_CHUNKS, TIMESTAMPS,
                             memory_mib=GUEST_MIB, traces=(CONNECTS, CLOSES), before=ON["source"])

    def ours_to_ours(self, options):
        destination = self.ours.start_arriving(before=ON["destination"])
        source = self.ours.start_leaving("--guest-memory", f"{GUEST_MIB}MiB", "--dirty-rate",
                                         DIRTY_RATE, "--max-downtime", DOWNTIME_MAX_MS, *options,
                                         before=ON["source"])
        for side in (source, destination):
            side.wait(ENDS_WITHIN)
        left, arrived = self.report(source), self.report(destination)
        return measured_by(left, arrived["processor_nanoseconds"] / 1e9,
                           arrived["registered_bytes_peak"] / MIB, None)

    def ways(self):
        """A guest that runs is a real one, or our own; no recording."""
        return {**self.ways_of_qemu(), **self.ways_of_ours("look-ahead", "pin-all")}


def measure(version, lab):
    take_turns(DirtyingBench(lab, version, None), version, NAME, lab)


SCENARIOS = tuple(
    Scenario(f"bench/{version}/{NAME}", "a guest that goes on writing moves by every way", 3600,
             partial(measure, version), apart=True)
    for version in ("7.2", "10.0")
)
