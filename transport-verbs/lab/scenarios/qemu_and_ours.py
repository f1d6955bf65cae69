"""Real QEMU on one side and our own program on the other."""

from functools import partial

from host import combination
from host.guests import running_guest, waiting_guest
from host.link import add_loopback
from host.recorder import Ours
from host.scenario import Scenario
from scenarios.qemu_to_qemu import TICKS_AFTERWARDS, finish

ENDS_WITHIN = 90


def qemu_to_ours(peers, lab):
    """A real source, our destination: what was recorded is what the guest had."""
    machine, ours = set_up(lab)
    source, recording = record(lab, machine, ours, peers)
    lab.step("compare memory")
    recording.compare_memory(source)
    inspect(lab, ours, recording, peers)
    source.quit()


def ours_to_qemu(peers, lab):
    """Our source, a real destination: the guest that was recorded goes on there."""
    machine, ours = set_up(lab)
    source, recording = record(lab, machine, ours, peers)
    ticks = source.ticks()
    source.quit()
    destination = play(lab, machine, ours, recording, peers)
    goes_on(lab, recording, destination, ticks)


def goes_on(lab, recording, destination, ticks):
    """The destination has the RAM that was recorded, and the guest runs from where it stopped."""
    lab.step("compare memory")
    recording.compare_memory(destination)
    lab.step("resume")
    lab.check(destination.ticks() == ticks, "the guest is where it stopped")
    destination.command("cont")
    destination.wait_for_run_state("running", 20)
    destination.wait_for_ticks(TICKS_AFTERWARDS, 30)
    destination.quit()


def round_trip(peers, lab):
    """QEMU, ours, QEMU that stays paused, ours: both recordings have the same RAM."""
    machine, ours = set_up(lab)
    source, first = record(lab, machine, ours, peers)
    source.quit()
    middle = play(lab, machine, ours, first, peers)
    lab.step("record again")
    second = ours.receive("second")
    middle.allow_pin_all(peers.pin_all)
    middle.migrate(ours.uri)
    finish(middle)
    second.finish(ENDS_WITHIN)
    lab.step("compare recordings")
    one, other = (digests(ours, recording) for recording in (first, second))
    lab.check(one == other, f"the recordings have equal RAM: {one} and {other}")
    lab.note(f"{len(one)} RAM blocks equal in both recordings")
    middle.quit()


def set_up(lab):
    machine = lab.machine()
    return machine, Ours(lab, machine, add_loopback(machine))


def record(lab, machine, ours, peers):
    """Migrates a guest that runs into a recording that tells what each round brought.

    The migration is short, so the recorder is given all the time that it wants for looking.
    """
    lab.step(f"record {peers.name}")
    source = running_guest(machine, lab.qemu(peers.source), peers.machine_type)
    source.allow_pin_all(peers.pin_all)
    recording = ours.receive("first", "--looking", "100")
    source.migrate(ours.uri)
    finish(source)
    source.wait_for_run_state("postmigrate", 20)
    report = recording.finish(ENDS_WITHIN)
    lab.check(report["pin_all"] == peers.pin_all, "the pin mode that was asked for was agreed")
    lab.check(report["machine"] == peers.machine_type, "the machine was read from the stream")
    lab.note(f"recorded {report['rounds']} rounds in {report['nanoseconds'] / 1e9:.1f} s")
    return source, recording


def play(lab, machine, ours, recording, peers):
    """Plays a recording into a real destination, which stays paused."""
    lab.step("play the recording")
    destination = waiting_guest(machine, lab.qemu(peers.destination), peers.machine_type,
                                ours.uri, peers.pin_all)
    report = ours.send(recording.folder, "first", "--expect-machine", peers.machine_type,
                       *(["--pin-all"] if peers.pin_all else []), within=ENDS_WITHIN)
    lab.check(report["pin_all"] == peers.pin_all, "the pin mode that was asked for was agreed")
    destination.wait_for_migration("completed", 30)
    destination.wait_for_run_state("paused", 20)
    lab.note(f"sent in {report['nanoseconds'] / 1e9:.1f} s, "
             f"{report['registrations']} registrations")
    return destination


def inspect(lab, ours, recording, peers):
    lab.step("inspect")
    inspection = ours.inspect(recording.folder)
    lab.check(inspection["complete"], "inspect finds the recording complete")
    lab.check(len(inspection["rounds"]) >= 3, f"{len(inspection['rounds'])} rounds")
    brought = [round["ram_bytes"] > 0 for round in inspection["rounds"]]
    lab.check(sum(brought) >= 2, "more than one round brought RAM")
    names = [block["name"] for block in inspection["blocks"]]
    lab.check("pc.ram" in names, f"pc.ram among {names}")
    lab.check(inspection["machine"] == peers.machine_type, "inspect names the machine")


def digests(ours, recording):
    return {block["name"]: block["sha256"] for block in ours.inspect(recording.folder)["blocks"]}


def scenarios(name, description, function, combinations, fast=()):
    return tuple(Scenario(f"{name}/{peers.name}", description, 300, partial(function, peers),
                          fast=peers.name in fast)
                 for peers in combinations)


FAST = ("7.2/pc/dynamic", "10.0/q35/pin-all")
SCENARIOS = (
    *scenarios("qemu-to-ours", "real QEMU migrates into a recording; its RAM is equal",
               qemu_to_ours, combination.of_one_version(), FAST),
    *scenarios("ours-to-qemu", "a recording is played into real QEMU; the guest runs on",
               ours_to_qemu, combination.of_one_version(), FAST),
    *scenarios("round-trip", "QEMU, ours, QEMU, ours: both recordings are equal",
               round_trip, combination.of_one_version(machines=("q35",), modes=(False,))),
)
