"""A machine, one of our commands and a real QEMU, and something that goes wrong between them."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from host.aftermath import is_complete, reason, wait_until_nothing_is_held
from host.cache import CACHE, emptied_folder
from host.combination import MACHINES
from host.guests import running_guest, waiting_guest
from host.hypervisor import ENDS
from host.link import add_loopback, add_wire
from host.machine import SCRATCH
from host.recorder import PORT, Ours, last_lines, report

NAME = "fault"
FOLDER = f"{SCRATCH}/{NAME}"

# Seconds. Ours ends long before, but where a link is cut it waits for acknowledgements for 30 s.
ENDS_WITHIN = 45
STOPS_WITHIN = 60
QEMU_ENDS_WITHIN = 60
QEMU_WAITS_FOR = 5
TICKS_AFTERWARDS = 5
BAD_INPUT = 2

GENEROUS_DOWNTIME_MS = 5000


class Qemu(Enum):
    """What the real peer does. A guest that has not left goes on, wherever QEMU is the source."""

    KILLED = "is killed by the lab"
    FAILS = "fails by itself, and its guest goes on"
    WAITS = "waits without a deadline, until the lab says migrate_cancel"
    CANCELLED = "was told to cancel, and does"
    COMPLETES = "has handed the guest over"
    EXITS = "ends by itself, with exit code 1"
    HANGS = "waits without a deadline, until the lab kills it"
    UNTOUCHED = "never notices, and waits for another source"


@dataclass(frozen=True)
class Fault:
    """A fault at one of our two roles, which its name ends with."""

    name: str
    version: str
    body: Callable
    reason: str
    """A pattern that our reason matches."""
    qemu: Qemu
    code: int = 1
    fast: bool = False
    on_a_wire: bool = False


class Scene:
    """A machine with a link, or two on a wire, and what every fault needs in it."""

    def __init__(self, lab, fault):
        self.lab = lab
        self.fault = fault
        if fault.on_a_wire:
            self.machine, self.peer_machine = lab.machines_on_a_wire()
            own_address = add_wire(self.machine, 0)
            self.address = add_wire(self.peer_machine, 1)
        else:
            self.machine = self.peer_machine = lab.machine()
            own_address = self.address = add_loopback(self.machine)
        self.recorder = Ours(lab, self.machine, own_address)
        self.ours = Ours(lab, self.machine, self.address, self.recorder.program)
        self.uri = self.ours.uri
        self.installation = lab.qemu(fault.version)
        self.machine_type = f"{MACHINES['pc']}-{fault.version}"

    def receive(self, before=()):
        self.lab.step("start ours")
        return self.ours.receive(NAME, before=before).process

    def send(self, *options, before=()):
        recording = recorded(self)
        self.lab.step("start ours")
        return self.ours.start_sending(recording, NAME, *options, before=before)

    def source(self, stop_at=(), name="source"):
        self.lab.step("start QEMU")
        return running_guest(self.machine, self.installation, self.machine_type, name,
                             stop_at=stop_at)

    def destination(self, port=PORT, pin_all=False, stop_at=()):
        self.lab.step("start QEMU")
        uri = f"rdma:{self.address}:{port}"
        return waiting_guest(self.peer_machine, self.installation, self.machine_type, uri, pin_all,
                             stop_at=stop_at)

    def stopped(self, peer):
        """Waits until QEMU stands still in the phase that was chosen."""
        self.lab.step("QEMU comes into the phase")
        peer.program.wait_for_text("stop_at: stopped", STOPS_WITHIN)

    def ends(self, side):
        """Our side ends in time, with the reason, and nothing of it is left."""
        self.lab.step("ours ends")
        began = time.monotonic()
        code = side.wait(ENDS_WITHIN)
        seconds = time.monotonic() - began
        self.lab.check(code == self.fault.code,
                       f"exit code {self.fault.code}, not {code}: {last_lines(side)}")
        says = reason(side)
        self.lab.check(re.search(self.fault.reason, says),
                       f"the reason is {self.fault.reason!r}: {says}")
        if code != BAD_INPUT:
            self.lab.check(report(side)["regions_left"] == 0, "it has released every region")
        wait_until_nothing_is_held(self.machine, side)
        self.lab.note(f"{says}, after {seconds:.1f} s")

    def destination_ends(self, side):
        self.ends(side)
        self.lab.check(not is_complete(self.machine, FOLDER), "no recording passes for complete")

    def guest_goes_on(self, source):
        """What QEMU makes of the fault, and that its guest runs all the same."""
        self.lab.step(f"QEMU: {self.fault.qemu.value}")
        match self.fault.qemu:
            case Qemu.FAILS:
                source.wait_for_migration("failed", QEMU_ENDS_WITHIN)
            case Qemu.CANCELLED:
                source.wait_for_migration("cancelled", QEMU_ENDS_WITHIN)
            case Qemu.WAITS:
                time.sleep(QEMU_WAITS_FOR)
                status = source.command("query-migrate")["status"]
                self.lab.check(status not in ENDS, f"it still waits, and is not {status}")
                source.command("migrate_cancel")
                source.wait_for_migration("cancelled", QEMU_ENDS_WITHIN)
        source.wait_for_run_state("running", QEMU_ENDS_WITHIN)
        source.wait_for_ticks(TICKS_AFTERWARDS, 30)

    def peer_ends(self, destination):
        """What a QEMU destination makes of the fault."""
        self.lab.step(f"QEMU: {self.fault.qemu.value}")
        match self.fault.qemu:
            case Qemu.EXITS:
                code = destination.program.wait(QEMU_ENDS_WITHIN)
                self.lab.check(code == 1, f"it ended with exit code 1, not {code}")
            case Qemu.HANGS:
                code = destination.program.exit_code(QEMU_WAITS_FOR)
                self.lab.check(code is None, f"it still waits, and has not ended with {code}")
                destination.program.kill()
            case Qemu.UNTOUCHED:
                status = destination.command("query-status")["status"]
                self.lab.check(status == "inmigrate", f"it waits, and is not {status}")
                destination.quit()


RECORDINGS = {}


def recorded(scene):
    """The recording that our sources play: made once in a run for each version, by the first
    scenario that needs it, in its own machine."""
    version = scene.fault.version
    if version not in RECORDINGS:
        scene.lab.step("record")
        source = scene.source(name="recorded")
        recording = scene.recorder.receive("made")
        source.migrate(scene.recorder.uri, GENEROUS_DOWNTIME_MS)
        recording.finish(STOPS_WITHIN)
        source.wait_for_run_state("postmigrate", QEMU_ENDS_WITHIN)
        source.quit()
        scene.machine.run("cp", "-r", recording.folder, "/run/lab/recording", within=60)
        kept = emptied_folder(CACHE / "recordings" / version)
        RECORDINGS[version] = (scene.machine.folder / "recording").rename(kept / "recording")
    return RECORDINGS[version]
