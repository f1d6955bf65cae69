"""The same fault again and again in one machine, each time at another moment: our side ends in time
each time, by name, and in the end the machine has lost nothing.

The moments are drawn from a seed, the name of the scenario, so a run can be repeated. When exactly
a fault strikes is left to the machine's scheduler, and is not the same again.
"""

import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from host import cargo
from host.aftermath import RESOURCES, is_complete, reason, wait_until_nothing_is_held
from host.deadline import poll_until
from host.errors import LabError
from host.hypervisor import ENDS
from host.link import add_loopback, wait_for_output
from host.machine import SCRATCH
from host.recorder import report
from host.scenario import Scenario
from scenarios import verbs_tests
from scenarios.fault_scene import ENDS_WITHIN, QEMU_ENDS_WITHIN, Fault, Qemu, Scene, recorded

# Seconds after the beginning of a migration in which a fault may strike. A quick migration is over
# by then; a slow one is in its rounds.
LATEST = 4.0
# Bytes a second of every other migration, so that rounds last.
SLOW = 4 << 20
FAST = 10 << 30
ANSWERS_WITHIN = 4
ROUNDS = 50
ROUND_WITHIN = 120
# Four migrations.
PROCESS_ROUND_WITHIN = 60

# What a machine may have less of after all rounds than after the first. What one migration pins is
# ten times as much.
MEMORY_SPREAD_KIB = 48 << 10
DESCRIPTORS_SPREAD = 64

# Rounds of which one at least is struck before its end.
ENOUGH = 10

COMPLETE = "complete"
NOT_BEGUN = "not begun"
INTERRUPTED = 130


@dataclass(frozen=True)
class Soak:
    """What strikes, and how our side says so where the migration was not over before."""

    name: str
    version: str
    play: Callable
    reasons: str
    on_a_wire: bool = False

    def fault(self):
        return Fault(self.name, self.version, self.play, self.reasons, Qemu.KILLED,
                     on_a_wire=self.on_a_wire)


@dataclass(frozen=True)
class Holdings:
    """What a machine has, or has left."""

    rdma_objects: int
    descriptors: int
    free_kib: int


def soak(kind, lab):
    scene = Scene(lab, kind.fault())
    moments = random.Random(kind.name)
    rounds = lab.wishes.rounds or ROUNDS
    endings = Counter()
    for number in range(1, rounds + 1):
        moment = moments.uniform(0, LATEST)
        bandwidth = SLOW if number % 2 else FAST
        lab.step(f"round {number} of {rounds}, after {moment:.2f} s at {bandwidth >> 20} MiB/s")
        endings[kind.play(scene, f"round-{number}", moment, bandwidth)] += 1
        if number == 1:
            before = holdings(scene.machine)
    after = holdings(scene.machine)
    lab.check(after.rdma_objects == before.rdma_objects,
              f"no RDMA object more: {after}, after the first round {before}")
    lab.check(after.descriptors <= before.descriptors + DESCRIPTORS_SPREAD,
              f"no descriptors are lost: {after}, after the first round {before}")
    lab.check(after.free_kib >= before.free_kib - MEMORY_SPREAD_KIB,
              f"no memory is lost: {after}, after the first round {before}")
    lab.check(rounds < ENOUGH or set(endings) != {COMPLETE}, "faults strike before the end")
    lab.note(", ".join(f"{count} {ending}" for ending, count in sorted(endings.items())))
    lab.note(f"free memory {(after.free_kib - before.free_kib) >> 10:+} MiB")


def holdings(machine):
    """What can be given back is given back first."""
    machine.run("sync")
    machine.write_file("/proc/sys/vm/drop_caches", "3\n")
    listed = [machine.run("rdma", "resource", "show", kind).output for kind in RESOURCES]
    objects = sum(" pid " in line for kind in listed for line in kind.splitlines())
    descriptors = int(machine.read_file("/proc/sys/fs/file-nr").split()[0])
    free = re.search(r"MemAvailable: +(\d+) kB", machine.read_file("/proc/meminfo"))
    return Holdings(objects, descriptors, int(free[1]))


# Ours is the destination.


def destination_round(scene, name, moment, bandwidth, strike):
    """One migration of a real QEMU to ours, in which `strike` is done."""
    side = scene.ours.receive(name).process
    source = scene.source(name=f"{name}-source")
    source.command("migrate-set-parameters", {"max-bandwidth": bandwidth})
    with suppress(LabError):
        source.command("migrate", {"uri": scene.uri}, within=ANSWERS_WITHIN)
    time.sleep(moment)
    strike(scene, side, source)
    ending = ended(scene, side, f"{SCRATCH}/{name}")
    source.program.kill()
    scene.machine.run("rm", "-rf", f"{SCRATCH}/{name}", f"/run/lab/receive-{name}.trace")
    return ending


def ended(scene, side, folder):
    """How our destination ended: complete on both sides, or not, by name, and for neither."""
    code = side.wait(ENDS_WITHIN)
    wait_until_nothing_is_held(scene.machine, side)
    if has_not_begun(side, code):
        return NOT_BEGUN
    complete = is_complete(scene.machine, folder)
    scene.lab.check(complete == (code == 0), f"exit code {code} says whether it is complete")
    return COMPLETE if complete else named(scene, side)


def has_not_begun(side, code):
    """Whether the program was interrupted before it had begun to listen or to connect."""
    return code in (-signal.SIGINT, INTERRUPTED) and not side.said()


def named(scene, side):
    """The reason of our side, which has to be one that the fault can have."""
    says = reason(side)
    matched = re.search(scene.fault.reason, says)
    scene.lab.check(matched, f"the reason is one of {scene.fault.reason!r}: {says}")
    if any(line.startswith("{") for line in side.said().splitlines()):
        scene.lab.check(report(side)["regions_left"] == 0, "it has released every region")
    return f"{matched[0]!r}"


def kill_source(_scene, _side, source):
    source.program.kill()


def cancel(scene, _side, source):
    """The guest goes on at the source, unless it had left."""
    source.command("migrate_cancel")
    poll_until("the end of the migration", QEMU_ENDS_WITHIN,
               lambda: source.command("query-migrate").get("status", "none") in ENDS)
    if source.command("query-migrate")["status"] != "completed":
        source.wait_for_run_state("running", QEMU_ENDS_WITHIN)


def interrupt(_scene, side, _peer):
    side.signal(signal.SIGINT)


# Ours is the source.


def source_round(scene, name, moment, _bandwidth, strike):
    """One migration of ours, which plays a recording, to a real QEMU, in which `strike` is done."""
    recording = recorded(scene)
    destination = scene.destination()
    side = scene.ours.start_sending(recording, name)
    time.sleep(moment)
    strike(scene, side, destination)
    code = side.wait(ENDS_WITHIN)
    wait_until_nothing_is_held(scene.machine, side)
    if has_not_begun(side, code):
        ending = NOT_BEGUN
    else:
        ending = COMPLETE if code == 0 else named(scene, side)
    destination.program.kill()
    scene.machine.run("rm", "-f", f"/run/lab/send-{name}.trace")
    return ending


def kill_destination(_scene, _side, destination):
    destination.program.kill()


def take_link_down(scene, side, _peer):
    """Up again once ours has ended, for the next round."""
    scene.peer_machine.run("ip", "link", "set", "eth0", "down")
    side.wait(ENDS_WITHIN)
    scene.peer_machine.run("ip", "link", "set", "eth0", "up")
    wait_for_output(scene.peer_machine, "an active RDMA link", "state ACTIVE", "rdma", "link")


# Both sides are ours, in one process that lives through all rounds.


def in_one_process(lab):
    lab.step("build the test")
    programs = cargo.test_programs(verbs_tests.PACKAGE, lab.folder / "cargo.log")
    machine = lab.machine()
    rounds = lab.wishes.rounds or ROUNDS
    environment = {verbs_tests.ADDRESS_VARIABLE: add_loopback(machine),
                   "RDMA_MIGRATION_SOAK_ROUNDS": str(rounds)}
    lab.step("repeat")
    finished = machine.run(programs["soak"], "--include-ignored", "--nocapture", check=False,
                           within=rounds * PROCESS_ROUND_WITHIN, environment=environment)
    (lab.folder / "soak.log").write_text(finished.output + finished.errors)
    said = re.search(r"^\d+ migrations, .*$", finished.output, re.MULTILINE)
    lab.check(finished.code == 0 and said, finished.summary())
    lab.note(said[0])


LEFT = "disconnected before the migration had ended|the source left"
UNREACHED = "cannot connect|refused the connection"
CUT = "retries exceeded|was not acknowledged|timed out"
SOAKS = (
    Soak("source-killed", "10.0", partial(destination_round, strike=kill_source),
         f"{LEFT}|disconnected|cannot connect"),
    Soak("cancelled", "7.2", partial(destination_round, strike=cancel),
         f"reported an error|{LEFT}"),
    Soak("destination-interrupted", "10.0", partial(destination_round, strike=interrupt),
         "interrupted"),
    Soak("destination-killed", "7.2", partial(source_round, strike=kill_destination),
         f"{LEFT}|{UNREACHED}|{CUT}"),
    Soak("source-interrupted", "10.0", partial(source_round, strike=interrupt), "interrupted"),
    Soak("link-down", "10.0", partial(source_round, strike=take_link_down),
         f"{CUT}|{LEFT}|{UNREACHED}", on_a_wire=True),
)


SCENARIOS = tuple(
    Scenario(f"soak/{kind.name}",
             f"a fault at {ROUNDS} random moments, with QEMU {kind.version}: no hang, no leak",
             ROUNDS * ROUND_WITHIN, partial(soak, kind), apart=True)
    for kind in SOAKS
) + (
    Scenario("soak/in-one-process", "ours to ours, each side gives up or dies at random moments",
             ROUNDS * ROUND_WITHIN, in_one_process, apart=True),
)
