"""What goes wrong: whatever it is, our side ends in time, says why, and leaves nothing behind.

The peer is always a real QEMU. What that does is part of each fault: in places it waits without a
deadline, and then the lab ends its migration, or the process.
"""

import signal
from contextlib import suppress
from functools import partial

from host.errors import LabError
from host.limits import LIMITED
from host.link import wait_for_output
from host.recorder import PORT
from host.scenario import Scenario
from scenarios.fault_scene import (
    FOLDER,
    GENEROUS_DOWNTIME_MS,
    QEMU_ENDS_WITHIN,
    STOPS_WITHIN,
    Fault,
    Qemu,
    Scene,
    recorded,
)

SCENARIO_WITHIN = 300
ANSWERS_WITHIN = 4
# Bytes a second: the guest's 64 MiB take half a minute.
SLOW = 1 << 20
SMALL_BYTES = 8 << 20

# What QEMU traces in each phase, at the source and at the destination.
SOURCE_SETS_UP = ("sending RAM BLOCKS REQUEST",)
SOURCE_WRITES = ("Posting chunk",)
SOURCE_SENDS_DEVICES = ("registration_stop 3", "sending QEMU FILE", "sending QEMU FILE")
DESTINATION_IS_ASKED = ("qemu_rdma_accept_pin_state",)
DESTINATION_SETS_UP = ("registration_handle_ram_blocks_loop",)
DESTINATION_REGISTERS = ("handle_register_rkey",)
DESTINATION_LOADS_DEVICES = ("fill RDMA 32768",)


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
