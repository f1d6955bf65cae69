"""A bound on pinned memory: guests larger than what their hosts may lock."""

import time
from functools import partial

from host.guest_program import MIB
from host.guests import running_guest, waiting_guest
from host.limits import limited_to
from host.link import add_loopback
from host.recorder import Ours, last_lines
from host.recorder import report as ended_report
from host.scenario import Scenario
from scenarios.ours_to_ours import compare_counts, ended
from scenarios.qemu_and_ours import goes_on
from scenarios.qemu_to_qemu import finish

GUEST_MIB = 256
BOUND_MIB = 16
BOUND = f"{BOUND_MIB}MiB"
# The bound, and the buffers for control messages.
PINNED_MIB_MAX = BOUND_MIB + 8
LIMITED = limited_to(PINNED_MIB_MAX * MIB)
MACHINE_MEMORY_MIB = 3072
# Most of the guest's RAM is not zero.
PATCHWORK_CHUNKS = 220
WORKLOAD = ("--dirty-rate", "2MiB", "--max-downtime", "4000")
ENDS_WITHIN = 240
ASKING = ("--peer-unregisters", "--span-chunks", "4")
PAUSE = 0.05


def ours_to_ours(lab):
    """Both sides are bounded: the source asks the destination to give back what it needs no more."""
    machine = lab.machine(MACHINE_MEMORY_MIB)
    ours = Ours(lab, machine, add_loopback(machine))
    lab.step("migrate")
    destination = ours.start_arriving("--max-pinned", BOUND, before=LIMITED)
    source = ours.start_leaving("--guest-memory", f"{GUEST_MIB}MiB", *WORKLOAD, "--max-pinned",
                                BOUND, "--peer-unregisters", before=LIMITED)
    left, arrived = (ended(lab, process) for process in (source, destination))
    lab.step("compare both reports")
    lab.check(left["blocks"] == arrived["blocks"] and len(left["blocks"]) == 7,
              "every RAM block is equal")
    lab.check(left["stream_sha256"] == arrived["stream_sha256"], "the streams are equal")
    compare_counts(lab, left, arrived)
    for side in (left, arrived):
        keeps_to_the_bound(lab, side)
    given_back = left["control_messages"]["UNREGISTER_REQUEST"]
    lab.check(given_back > 0, "regions were given back")
    lab.note(f"{left['bytes_written'] >> 20} MiB written, {left['registrations']} registrations, "
             f"{given_back} given back, at most {left['registered_bytes_peak'] >> 20} MiB pinned")


def ours_to_qemu(version, asking, lab):
    """The source is bounded, and the destination is a real QEMU.

    Either that knows nothing of it; or `asking`: it is asked to give back spans of several chunks,
    each of which goes by the number of its first.
    """
    machine = lab.machine(MACHINE_MEMORY_MIB)
    ours = Ours(lab, machine, add_loopback(machine))
    lab.step("record")
    machine_type = f"pc-q35-{version}"
    guest = {"memory_mib": GUEST_MIB}
    source = running_guest(machine, lab.qemu(version), machine_type,
                           patchwork_chunks=PATCHWORK_CHUNKS, **guest)
    # It does not look which round brought what: of so much RAM, that takes longer than the guest.
    recording = ours.receive("first", "--looking", "0")
    source.migrate(ours.uri)
    finish(source)
    source.wait_for_run_state("postmigrate", 20)
    recording.finish(ENDS_WITHIN)
    ticks = source.ticks()
    source.quit()
    lab.step("play the recording")
    destination = waiting_guest(machine, lab.qemu(version), machine_type, ours.uri, False, **guest)
    process = ours.start_sending(recording.folder, "first", "--max-pinned", BOUND,
                                 *(ASKING if asking else ()), before=LIMITED)
    pinned = 0
    while process.exit_code() is None:
        pinned = max(pinned, destination.pinned_mib())
        time.sleep(PAUSE)
    lab.check(process.exit_code() == 0, last_lines(process))
    report = ended_report(process)
    given_back = report["control_messages"].get("UNREGISTER_REQUEST", 0)
    lab.check((given_back > 0) == asking, f"{given_back} times a span was to be given back")
    lab.check(pinned > 0, "the destination was seen with memory pinned")
    lab.check((pinned <= PINNED_MIB_MAX) == asking, f"the destination had {pinned:.0f} MiB pinned")
    destination.wait_for_migration("completed", 30)
    destination.wait_for_run_state("paused", 20)
    keeps_to_the_bound(lab, report)
    lab.check(report["bytes_written"] > 4 * BOUND_MIB * MIB, "far more than the bound was written")
    goes_on(lab, recording, destination, ticks)
    lab.note(f"{report['bytes_written'] >> 20} MiB written, {report['registrations']} registrations, "
             f"{given_back} given back, at most {report['registered_bytes_peak'] >> 20} MiB pinned, "
             f"and {pinned:.0f} MiB by QEMU")


def keeps_to_the_bound(lab, report):
    peak = report["registered_bytes_peak"]
    lab.check(0 < peak <= BOUND_MIB * MIB, f"{peak} bytes were registered at once")


SCENARIOS = (
    Scenario("bounded/ours-to-ours", "256 MiB move with 16 MiB pinned at a time on both sides", 600,
             ours_to_ours),
    *(Scenario(f"bounded/ours-to-qemu/{version}",
               "256 MiB move into real QEMU with 16 MiB pinned at a time at the source", 600,
               partial(ours_to_qemu, version, False))
      for version in ("7.2", "10.0")),
    *(Scenario(f"bounded/spans-of-qemu/{version}",
               "a real QEMU gives back spans by their first chunks, and keeps to the bound too", 600,
               partial(ours_to_qemu, version, True), apart=True)
      for version in ("7.2", "10.0")),
)
