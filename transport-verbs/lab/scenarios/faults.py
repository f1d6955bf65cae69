"""What goes wrong: whatever it is, our side ends in time, says why, and leaves nothing behind.

The peer is always a real QEMU. What that does is part of each fault: in places it waits without a
deadline, and then the lab ends its migration, or the process.
"""

import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial

from host.aftermath import is_complete, reason, wait_until_nothing_is_held
from host.cache import CACHE, emptied_folder
from host.combination import MACHINES
from host.errors import LabError
from host.guests import running_guest, waiting_guest
from host.hypervisor import ENDS
from host.limits import LIMITED
from host.link import add_loopback, add_wire, wait_for_output
from host.machine import SCRATCH
from host.recorder import PORT, Ours, last_lines, report
from host.scenario import Scenario

NAME = "fault"
FOLDER = f"{SCRATCH}/{NAME}"
SMALL_BYTES = 8 << 20
SCENARIO_WITHIN = 300

# Seconds. Ours ends long before, but where a link is cut it waits for acknowledgements for 30 s.
ENDS_WITHIN = 45
STOPS_WITHIN = 60
ANSWERS_WITHIN = 4
QEMU_ENDS_WITHIN = 60
QEMU_WAITS_FOR = 5
TICKS_AFTERWARDS = 5
BAD_INPUT = 2

# Bytes a second: the guest's 64 MiB take half a minute.
SLOW = 1 << 20
GENEROUS_DOWNTIME_MS = 5000

# What QEMU traces in each phase, at the source and at the destination.
SOURCE_SETS_UP = ("sending RAM BLOCKS REQUEST",)
SOURCE_WRITES = ("Posting chunk",)
SOURCE_SENDS_DEVICES = ("registration_stop 3", "sending QEMU FILE", "sending QEMU FILE")
DESTINATION_IS_ASKED = ("qemu_rdma_accept_pin_state",)
DESTINATION_SETS_UP = ("registration_handle_ram_blocks_loop",)
DESTINATION_REGISTERS = ("handle_register_rkey",)
DESTINATION_LOADS_DEVICES = ("fill RDMA 32768",)


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
        return running_guest(self.machine, self.installation, self.machine_type, name, stop_at)

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


def begin(source, uri):
    """QEMU answers once the destination has accepted, or not at all if it is stopped before."""
    source.allow_downtime(GENEROUS_DOWNTIME_MS)
    with suppress(LabError):
        source.command("migrate", {"uri": uri}, within=ANSWERS_WITHIN)


def begin_slowly(scene, source):
    """Begins a migration that stays in its rounds for long enough."""
    scene.lab.step("migrate slowly")
    source.command("migrate-set-parameters", {"max-bandwidth": SLOW})
    source.command("migrate", {"uri": scene.uri})
    source.program.wait_for_text(SOURCE_WRITES[0], STOPS_WITHIN)


# Ours is the destination.


def source_killed(scene, phase):
    side = scene.receive()
    source = scene.source(stop_at=phase)
    begin(source, scene.uri)
    scene.stopped(source)
    source.program.kill()
    scene.destination_ends(side)


def source_killed_before_accept(scene):
    """Ours is stopped while the request is under way, and finds it when its sender is gone."""
    side = scene.receive()
    source = scene.source()
    scene.lab.step("ask to connect")
    side.signal(signal.SIGSTOP)
    begin(source, scene.uri)
    wait_for_output(scene.machine, "a request to connect", r"state CONNECT\b", "rdma", "resource",
                    "show", "cm_id")
    source.program.kill()
    side.signal(signal.SIGCONT)
    scene.destination_ends(side)


def link_removed_at_destination(scene):
    """The removal itself waits until nobody uses the device, QEMU neither."""
    side = scene.receive()
    source = scene.source()
    begin_slowly(scene, source)
    scene.lab.step("remove the link")
    removal = scene.machine.start("removal", "rdma", "link", "delete", "rxe0")
    scene.destination_ends(side)
    scene.guest_goes_on(source)
    source.quit()
    scene.lab.check(removal.wait(STOPS_WITHIN) == 0, "the link was removed in the end")


def memory_limited_at_destination(scene):
    side = scene.receive(before=LIMITED)
    source = scene.source()
    source.allow_pin_all(True)
    scene.lab.step("migrate")
    begin(source, scene.uri)
    scene.destination_ends(side)
    scene.guest_goes_on(source)


def destination_full(scene):
    """The guest has arrived before it is written; so QEMU has done its part."""
    scene.machine.run("mkdir", FOLDER)
    scene.machine.run("mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "small", FOLDER)
    side = scene.receive()
    source = scene.source()
    scene.lab.step("migrate")
    source.migrate(scene.uri, GENEROUS_DOWNTIME_MS)
    source.wait_for_migration("completed", QEMU_ENDS_WITHIN)
    scene.destination_ends(side)


def cancelled(scene):
    side = scene.receive()
    source = scene.source()
    begin_slowly(scene, source)
    scene.lab.step("cancel")
    source.command("migrate_cancel")
    scene.destination_ends(side)
    scene.guest_goes_on(source)


def interrupted_at_destination(scene):
    side = scene.receive()
    source = scene.source()
    begin_slowly(scene, source)
    scene.lab.step("interrupt")
    side.signal(signal.SIGINT)
    scene.destination_ends(side)
    scene.guest_goes_on(source)


# Ours is the source.


def destination_killed(scene, phase):
    recorded(scene)
    destination = scene.destination(stop_at=phase)
    side = scene.send()
    scene.stopped(destination)
    destination.program.kill()
    scene.ends(side)


def link_down_at_source(scene):
    """Ours is stopped while the RAM blocks are exchanged, so that it has the reply when the link
    goes, and sends into nothing what comes next."""
    recorded(scene)
    destination = scene.destination(stop_at=DESTINATION_SETS_UP)
    side = scene.send()
    scene.stopped(destination)
    side.signal(signal.SIGSTOP)
    destination.program.signal(signal.SIGCONT)
    replied = r"(?s)sending RAM BLOCKS RESULT.*sending READY"
    wait_for_output(scene.peer_machine, "the reply", replied, "cat", "/run/lab/destination.log")
    scene.lab.step("take the link down")
    scene.peer_machine.run("ip", "link", "set", "eth0", "down")
    side.signal(signal.SIGCONT)
    scene.ends(side)
    scene.peer_ends(destination)


def memory_limited_at_source(scene):
    recorded(scene)
    destination = scene.destination(pin_all=True)
    scene.ends(scene.send("--pin-all", before=LIMITED))
    scene.peer_ends(destination)


def wrong_port(scene):
    recorded(scene)
    destination = scene.destination(port=PORT + 1)
    scene.ends(scene.send())
    scene.peer_ends(destination)


def interrupted_at_source(scene):
    recorded(scene)
    destination = scene.destination(stop_at=DESTINATION_REGISTERS)
    side = scene.send()
    scene.stopped(destination)
    side.signal(signal.SIGINT)
    scene.ends(side)
    destination.program.signal(signal.SIGCONT)
    scene.peer_ends(destination)


LEFT = "disconnected before the migration had ended|the source left"
# Whichever comes first: the adapter has done its retries, or our own deadline has come.
RETRIED = "retries exceeded|a send was not acknowledged"
FAULTS = (
    Fault("killed-before-accept/destination", "7.2", source_killed_before_accept,
          "cannot connect|disconnected", Qemu.KILLED),
    Fault("killed-in-set-up/destination", "10.0", partial(source_killed, phase=SOURCE_SETS_UP),
          LEFT, Qemu.KILLED),
    Fault("killed-in-rounds/destination", "7.2", partial(source_killed, phase=SOURCE_WRITES),
          LEFT, Qemu.KILLED),
    Fault("killed-in-device-state/destination", "10.0",
          partial(source_killed, phase=SOURCE_SENDS_DEVICES), LEFT, Qemu.KILLED),
    Fault("link-removed/destination", "7.2", link_removed_at_destination, "DEVICE_REMOVAL",
          Qemu.FAILS),
    Fault("memory-limit/destination", "10.0", memory_limited_at_destination, "CAP_IPC_LOCK",
          Qemu.FAILS),
    Fault("full/destination", "7.2", destination_full, "No space left", Qemu.COMPLETES),
    Fault("cancel/destination", "10.0", cancelled, "reported an error|" + LEFT, Qemu.CANCELLED,
          fast=True),
    Fault("interrupted/destination", "7.2", interrupted_at_destination, "interrupted", Qemu.FAILS,
          code=130, fast=True),
    Fault("killed-before-accept/source", "10.0",
          partial(destination_killed, phase=DESTINATION_IS_ASKED), "refused|cannot connect",
          Qemu.KILLED),
    Fault("killed-in-set-up/source", "7.2", partial(destination_killed, phase=DESTINATION_SETS_UP),
          LEFT, Qemu.KILLED),
    Fault("killed-in-rounds/source", "10.0",
          partial(destination_killed, phase=DESTINATION_REGISTERS), LEFT, Qemu.KILLED),
    Fault("killed-in-device-state/source", "7.2",
          partial(destination_killed, phase=DESTINATION_LOADS_DEVICES), LEFT, Qemu.KILLED),
    Fault("link-down/source", "10.0", link_down_at_source, RETRIED, Qemu.HANGS,
          on_a_wire=True),
    Fault("memory-limit/source", "7.2", memory_limited_at_source, "CAP_IPC_LOCK", Qemu.UNTOUCHED,
          code=2),
    Fault("wrong-port/source", "10.0", wrong_port, "REJECTED", Qemu.UNTOUCHED),
    Fault("interrupted/source", "7.2", interrupted_at_source, "interrupted", Qemu.EXITS, code=130),
)


def run(fault, lab):
    fault.body(Scene(lab, fault))


SCENARIOS = tuple(
    Scenario(f"faults/{fault.name}",
             f"ours ends by name and in time; QEMU {fault.version}: {fault.qemu.value}",
             SCENARIO_WITHIN, partial(run, fault), fault.fast)
    for fault in FAULTS
)
